#include "tools/vireo/exec/sandbox.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "agent/host/initramfs.h"
#include "agent/program/program.h"
#include "devices/virtio/console.h"
#include "tools/vireo/descriptor_limit.h"
#include "tools/vireo/message.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

using namespace std::chrono_literals;

// A guest that is not there by then has hung.
constexpr std::chrono::seconds kBootPatience = 60s;
// For a guest to write what belongs to the host's files, and to switch itself off.
constexpr std::chrono::seconds kEndPatience = 10s;

// What libslirp's DHCP would give (devices/net/user.cc), without asking for it.
constexpr agent::Network kUserNetwork{
    .address = 0x0a00020f, .prefix = 24, .gateway = 0x0a000202, .name_server = 0x0a000203};

pc::PcSpec with_initramfs(pc::PcSpec spec, int fd) {
  spec.boot.initrd = fmt::format("/proc/self/fd/{}", fd);
  return spec;
}

std::string_view words_of(agent::Stage stage) {
  constexpr std::array<std::string_view, 9> kWords{"",
                                                   "the guest's agent cannot do that",
                                                   "cannot mount it",
                                                   "cannot set up the network",
                                                   "cannot make its streams",
                                                   "cannot make a process",
                                                   "cannot become the user",
                                                   "cannot go to the directory",
                                                   "cannot execute it"};
  return kWords.at(static_cast<size_t>(stage));
}

// The texts, each with its zero.
std::string block_of(const std::vector<std::string>& texts) {
  std::string block;
  for (const std::string& text : texts) block.append(text).push_back('\0');
  return block;
}

agent::Resize terminal_size() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
    return {.rows = 24, .columns = 80};
  return {.rows = size.ws_row, .columns = size.ws_col};
}

agent::Clock host_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {.seconds = static_cast<uint64_t>(now.tv_sec),
          .nanoseconds = static_cast<uint32_t>(now.tv_nsec)};
}

uint64_t peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace

Sandbox::Initramfs Sandbox::make_initramfs(const pc::PcSpec& spec) {
  std::vector<std::string_view> modules(std::begin(agent::kModules), std::end(agent::kModules));
  if (!spec.nets.empty()) modules.emplace_back("virtio_net");
  if (!spec.disks.empty()) modules.emplace_back("virtio_blk");
  const auto made = agent::make_initramfs(spec.boot.kernel, modules, agent::program());
  UniqueFd fd(::memfd_create("initramfs", MFD_CLOEXEC));
  if (!fd) throw_errno("cannot make the initramfs");
  if (const auto error = write_all(fd.get(), made.archive))
    throw std::system_error(error, "cannot make the initramfs");
  return {std::move(fd), made.has_modules};
}

Sandbox::Sandbox(const ExecOptions& options, Signals& signals, int parent)
    : options_(options),
      signals_(signals),
      parent_(parent),
      stages_("prepare"),
      initramfs_(make_initramfs(options.spec)),
      spec_(with_initramfs(options.spec, initramfs_.fd.get())),
      terminal_(options.terminal ? STDIN_FILENO : -1),
      machine_(pc::machine_config(spec_, options.log)),
      streams_(STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO,
               {.flushed = [this] { end_when_flushed(); },
                .output_lost = [this](std::error_code why) { output_lost_ = why.message(); }}) {}

void Sandbox::build() {
  raise_descriptor_limit();
  pc_.emplace(pc::build_pc(machine_, spec_,
                           {.backend =
                                [this](const std::string&, const dev::CharSpec&) {
                                  return std::make_unique<ConsoleTailBackend>(tail_);
                                },
                            .tell = [](const std::string& line) { tell(line); }}));
  auto session = std::make_unique<agent::Session>(agent::Session::Events{
      .ready = [this] { agent_is_there(); },
      .broken =
          [this](const std::string& why) {
            stop(State::lost, 0, "the guest's agent breaks its protocol: " + why);
          }});
  session_ = session.get();
  pc_->virtio->add<dev::Console>("agent", std::move(session), dev::ConsolePort{agent::kPortName});
}

SandboxResult Sandbox::run() {
  const RestoreAtDeath restore_at_death(terminal_);
  build();
  machine_.start();
  call(machine_.env().loop, [this] { watch(); });
  const End end = machine_.wait();
  for (EventLoop::Registration* timer : {&timeout_, &patience_, &foreground_, &parent_watch_})
    timer->reset();
  watch_ = {};
  terminal_.restore();
  judge(end);
  result_->stage = stages_.stage();
  result_->durations = stages_.durations();
  result_->peak_memory = peak_memory();
  result_->console = tail_.text();
  return std::move(*result_);
}

// --- on the loop ---

void Sandbox::watch() {
  constexpr int kRequests = 2;  // to the command, then to the machine
  EventLoop& loop = machine_.env().loop;
  if (stages_.stage() == "prepare") stages_.begin("boot");
  watch_ = signals_.watch(loop, terminal_,
                          {.terminate = [this](int number) { terminate(number); },
                           .requests = kRequests,
                           .continued = [this] { take_terminal(); },
                           .resized = [this] { resized(); }});
  if (options_.timeout) timeout_ = loop.after(*options_.timeout, [this] { out_of_time(); });
  patience_ = loop.after(kBootPatience, [this] {
    stop(State::boot_failed, 0,
         fmt::format("the guest was not ready within {} seconds", kBootPatience.count()));
  });
  watch_parent();
  take_terminal();
}

// Whoever started this process is all that knows of the machine. A parent that has ended is
// readable.
void Sandbox::watch_parent() {
  if (parent_ < 0) return;
  parent_watch_ = machine_.env().loop.watch(parent_, EPOLLIN, [this](uint32_t) {
    parent_watch_.reset();
    stop(State::stopped, SIGKILL, "the process that started the sandbox has ended");
  });
}

// Nothing tells a process that its shell has brought it to the foreground.
void Sandbox::take_terminal() {
  if (!terminal_.is_terminal()) return;
  terminal_.set_raw();
  if (!terminal_.is_raw())
    foreground_ = machine_.env().loop.after(dev::kForegroundInterval, [this] { take_terminal(); });
}

void Sandbox::terminate(int number) {
  const bool again = std::exchange(asked_to_end_, true);
  if (channel_ != 0 && !command_is_over_ && !again)
    return session_->signal(channel_, static_cast<uint8_t>(number));
  stop(State::stopped, number, "");
}

void Sandbox::resized() {
  if (channel_ != 0 && !command_is_over_) session_->resize(channel_, terminal_size());
}

// What is the same for every sandbox is done by now. The network comes before what is written
// through: it leaves a file in /etc.
void Sandbox::agent_is_there() {
  if (stages_.stage() == "prepare") stages_.begin("boot");  // before watch() has come to it
  stages_.begin("mount");
  std::array<std::byte, 64> random{};
  if (::getrandom(random.data(), random.size(), 0) == static_cast<ssize_t>(random.size()))
    ask(agent::Entropy{.bytes = random}, "randomness");
  ask(host_clock(), "the clock");
  ask(agent::Root{.tag = {options_.root_tag}}, "the root");
  if (options_.user_network) ask(kUserNetwork, "the network");
  for (const WritableShare& share : options_.writable)
    ask(agent::Share{.tag = {share.tag}, .path = {share.path}}, fmt::format("'{}'", share.path));
  start_command();
}

template <class Request>
void Sandbox::ask(const Request& request, const std::string& what) {
  session_->ask(request, [this, what](const std::optional<agent::Failed>& failed) {
    if (!failed) return;
    stop(State::boot_failed, 0,
         fmt::format("{} in the guest: {}: {}", what, words_of(failed->stage),
                     std::strerror(static_cast<int>(failed->error))));
  });
}

void Sandbox::start_command() {
  const std::string arguments = block_of(options_.command);
  const std::string environment = block_of(options_.environment);
  const agent::Resize size = terminal_size();
  channel_ = session_->start(
      {.terminal = static_cast<uint8_t>(options_.terminal),
       .rows = size.rows,
       .columns = size.columns,
       .user = {options_.user},
       .directory = {options_.directory},
       .arguments = {static_cast<uint32_t>(options_.command.size()), arguments},
       .environment = {static_cast<uint32_t>(options_.environment.size()), environment}},
      command_events());
}

agent::CommandEvents Sandbox::command_events() {
  return {.started =
              [this](uint32_t pid) {
                pid_ = pid;
                patience_.reset();
                stages_.begin("run");
                streams_.begin(machine_.env().loop, *session_, channel_);
              },
          .output = [this](agent::Stream stream,
                           agent::Bytes bytes) { streams_.output(stream, bytes); },
          .writable = [this] { streams_.writable(); },
          .input_closed = [this] { streams_.input_closed(); },
          .ended = [this](const agent::Outcome& outcome) { command_ended(outcome); }};
}

void Sandbox::command_ended(const agent::Outcome& outcome) {
  command_is_over_ = true;
  if (outcome.kind == agent::Outcome::Kind::failed) return not_started(outcome);
  streams_.input_closed();
  const bool exited = outcome.kind == agent::Outcome::Kind::exited;
  result_ = {.state = exited ? State::exited : State::signaled, .number = outcome.number};
  end_when_flushed();
}

// What is wrong with an option is the sandbox's failure; what is wrong with the program is not.
void Sandbox::not_started(const agent::Outcome& outcome) {
  const bool program = outcome.stage == agent::Stage::execute;
  stop(program ? State::not_started : State::failed, static_cast<int>(outcome.error),
       fmt::format("'{}': {}: {}", options_.command.front(), words_of(outcome.stage),
                   std::strerror(static_cast<int>(outcome.error))));
}

void Sandbox::end_when_flushed() {
  if (!command_is_over_ || !streams_.is_flushed() || stages_.stage() == "end") return;
  stages_.begin("end");
  const bool keeps_something =
      !options_.writable.empty() || spec_.shares.size() > 1 || !spec_.disks.empty();
  if (!keeps_something) return machine_.request_stop();
  session_->power_off();
  patience_ = machine_.env().loop.after(kEndPatience, [this] { machine_.request_stop(); });
}

// A reader who takes nothing is waited for no longer, either.
void Sandbox::out_of_time() {
  if (stages_.stage() != "end") result_.reset();
  stop(State::timeout, 0,
       fmt::format("the command had not ended after {} seconds (--timeout)",
                   std::chrono::duration_cast<std::chrono::seconds>(*options_.timeout).count()));
}

// The first reason counts.
void Sandbox::stop(State state, int number, std::string detail) {
  if (!result_) result_ = {.state = state, .number = number, .detail = std::move(detail)};
  machine_.request_stop();
}

// --- afterwards ---

void Sandbox::judge(const End& end) {
  if (!result_) judge_lost(end);
  if (result_->state == State::boot_failed && !initramfs_.has_modules)
    result_->detail +=
        "; no modules of this kernel were found: it must have virtio-mmio, "
        "virtio-console, 9p and overlayfs built in";
  if (result_->state == State::signaled && result_->number == SIGKILL &&
      tail_.killed_for_memory(pid_))
    result_->state = State::oom;
  if (tail_.killed_for_memory())
    result_->detail = "the guest had no memory left, and killed a process (--memory)";
  if (output_lost_.empty()) return;
  result_->detail = "the command's output could not all be written: " + output_lost_;
  if (result_->state == State::exited && result_->number == 0) result_->state = State::failed;
}

// The machine has ended, and neither the command nor we have asked for it.
void Sandbox::judge_lost(const End& end) {
  const bool runs = stages_.stage() == "run";
  result_ = {.state = runs ? State::lost : State::boot_failed};
  if (end.reason == End::Reason::host_error) result_->state = State::failed;
  if (const auto panic = tail_.panic()) {
    result_->state = State::panic;
    result_->detail = fmt::format("the guest's kernel panicked: {}", *panic);
  } else if (end.reason == End::Reason::power_off || end.reason == End::Reason::reset) {
    result_->detail = fmt::format("the machine was {} before the command had ended",
                                  end.reason == End::Reason::reset ? "reset" : "switched off");
  } else {
    result_->detail = fmt::format("the machine ended before the command did: {}", end.detail);
  }
}

}  // namespace vireo::cli
