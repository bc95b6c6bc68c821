#include "tools/vireo/run.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "devices/chardev/open.h"
#include "devices/chardev/terminal.h"
#include "devices/legacy/acpi_power.h"
#include "devices/net/mac.h"
#include "devices/pc/build.h"
#include "devices/pc/config.h"
#include "devices/virtio/console.h"
#include "tools/vireo/descriptor_limit.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/message.h"
#include "tools/vireo/run_options.h"
#include "tools/vireo/signals.h"
#include "vmm/base/error.h"
#include "vmm/base/line_writer.h"
#include "vmm/memory/layout.h"

namespace vireo::cli {

namespace {

bool is_stdio(const std::optional<dev::CharSpec>& spec) {
  return spec && spec->kind == dev::CharSpec::Kind::stdio;
}

class Run {
 public:
  Run(const RunOptions& options, VmConfig config, Signals& signals)
      : options_(options),
        signals_(signals),
        terminal_(uses_terminal() ? STDIN_FILENO : -1),
        machine_(std::move(config)) {}

  void build();
  void check_kernel();
  void print_shape();
  int run_to_end();

 private:
  std::unique_ptr<dev::CharBackend> backend(const dev::CharSpec& spec);
  void tell_terminal_size();
  bool uses_terminal() const;
  End wait_for_end();
  Signals::Watch watch_signals();
  void take_terminal();
  void continued();
  void reopen_files();
  void paused(const std::string& why);
  void escape(dev::EscapeCommand command);
  void terminate();
  void out_of_time();

  const RunOptions& options_;
  Signals& signals_;
  dev::Terminal terminal_;
  Vm machine_;
  std::optional<pc::Pc> pc_;
  std::vector<dev::CharBackend*> backends_;  // of the machine's devices
  std::atomic<bool> paused_ = false;
  std::atomic<bool> output_lost_ = false;
  std::atomic<bool> out_of_time_ = false;

  // The loop's:
  bool asked_to_end_ = false;
  EventLoop::Registration deadline_;    // for the guest to switch itself off
  EventLoop::Registration foreground_;  // until the terminal is ours
};

// Runs a step whose errors, or those of the type given, are about what the user named. All others
// are the host's.
template <class Error, class Step>
auto usage_step(Step step) {
  return rethrow_as<UsageError, Error>(step);
}

// A dry run leaves no trace: it makes no file, socket or terminal.
std::unique_ptr<dev::CharBackend> Run::backend(const dev::CharSpec& spec) {
  if (options_.dry_run) return dev::make_char_backend({}, {});
  auto made = dev::make_char_backend(
      spec, {.log = options_.log,
             .output_lost =
                 [this](std::error_code why) {
                   if (why != std::errc::broken_pipe) output_lost_ = true;  // a reader may leave
                 },
             .pty_made = [](const std::string& path) { tell("terminal: " + path); },
             .escape = [this](dev::EscapeCommand command) { escape(command); }});
  backends_.push_back(made.get());
  return made;
}

// To a terminal in raw mode.
void print_help() {
  const std::string_view help = dev::EscapeDecoder::help();
  LineWriter(STDERR_FILENO).write(fmt::format("\r\n{}", help.substr(0, help.size() - 1)));
}

void Run::escape(dev::EscapeCommand command) {
  if (command == dev::EscapeCommand::quit) machine_.request_stop();
  if (command == dev::EscapeCommand::power_button) pc_->power->press_power_button();
  if (command == dev::EscapeCommand::help) print_help();
}

// The first request is polite: the guest gets to shut down, if it runs. The second is not.
void Run::terminate() {
  if (std::exchange(asked_to_end_, true) || paused_) return machine_.request_stop();
  pc_->power->press_power_button();
  deadline_ = machine_.env().loop.after(options_.shutdown_timeout, [this] { out_of_time(); });
}

void Run::out_of_time() {
  out_of_time_ = true;
  machine_.request_stop();
}

void Run::tell_terminal_size() {
  if (!is_stdio(options_.spec.console)) return;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    pc_->console->set_size(size.ws_col, size.ws_row);
}

void Run::build() {
  raise_descriptor_limit();
  pc_.emplace(pc::build_pc(
      machine_, options_.spec,
      {.backend = [this](const std::string&, const dev::CharSpec& spec) { return backend(spec); },
       .tell = [](const std::string& line) { tell(line); },
       .dry = options_.dry_run}));
  tell_terminal_size();
}

// What start() would find wrong with the kernel, the initrd and the command line. Leaves no trace
// in the cache of unpacked kernels.
void Run::check_kernel() {
  const auto* const kernel = std::get_if<LinuxBoot>(&pc_->boot);
  if (kernel == nullptr) return;
  LinuxBoot boot = *kernel;
  boot.cache.clear();
  load_linux(machine_.env().platform.memory, boot, layout::kAcpiTables, options_.log);
}

bool Run::uses_terminal() const {
  return is_stdio(options_.spec.serial) || is_stdio(options_.spec.console);
}

void Run::print_shape() {
  const pc::PcSpec& spec = options_.spec;
  const auto line = [](const char* what, const std::string& text) {
    std::printf("%-8s %s\n", what, text.c_str());
  };
  const auto and_read_only = [](bool read_only) { return read_only ? " (read-only)" : ""; };
  line("memory", fmt::format("{} MiB", spec.memory / MiB));
  line("vcpus", fmt::format("{}", spec.vcpus));
  if (const auto* const kernel = std::get_if<LinuxBoot>(&pc_->boot)) {
    line("kernel", kernel->kernel);
    if (!kernel->initrd.empty()) line("initrd", kernel->initrd);
    line("cmdline", kernel->cmdline);
  }
  for (const pc::DiskSpec& disk : spec.disks)
    line("disk",
         fmt::format("{}: {}{}", disk.id, disk.image.name(), and_read_only(disk.image.read_only)));
  for (const pc::CdromSpec& cdrom : spec.cdroms)
    line("cdrom", fmt::format("{}: {}", cdrom.id,
                              cdrom.image.name().empty() ? "empty" : cdrom.image.name()));
  for (const pc::ShareSpec& share : spec.shares)
    line("share", fmt::format("{}: {}{}", share.tag, share.share.directory,
                              and_read_only(share.share.read_only)));
  if (spec.display)
    line("screen", fmt::format("{}x{}", spec.display->mode.width, spec.display->mode.height));
  for (const pc::Pc::Interface& net : pc_->nets)
    line("net", fmt::format("{}: {}, {}", net.id, net.network, dev::to_string(net.mac)));
  for (const AcpiDevice& device : machine_.env().platform.acpi.devices())
    if (device.length != 0)
      line("device", fmt::format("at {:#x}, interrupt {}", device.address, device.gsi));
}

std::string last_words(const End& end) {
  switch (end.reason) {
    case End::Reason::crash:
      return "the guest crashed: " + end.detail;
    case End::Reason::host_error:
      return end.detail;
    case End::Reason::reset:
      return "the guest asked for a reset (--no-reboot)";
    case End::Reason::power_off:
    case End::Reason::debug_exit:
    case End::Reason::stopped:
      break;
  }
  return "";
}

// Nothing tells a process that its shell has brought it to the foreground.
void Run::take_terminal() {
  constexpr std::chrono::milliseconds kInterval{250};
  if (!terminal_.is_terminal() || paused_) return;
  terminal_.set_raw();
  if (!terminal_.is_raw())
    foreground_ = machine_.env().loop.after(kInterval, [this] { take_terminal(); });
}

// The terminal is the user's while the guest can not read from it: Ctrl-C ends, Ctrl-Z leads to a
// shell, and fg back.
void Run::paused(const std::string& why) {
  paused_ = true;
  terminal_.restore();
  tell(fmt::format("{}; the machine is paused: make room, then continue it with kill -CONT {}", why,
                   ::getpid()));
}

void Run::continued() {
  const bool was_paused = paused_.exchange(false);
  take_terminal();
  if (was_paused) machine_.request_resume();
}

void Run::reopen_files() {
  options_.log.reopen();
  for (dev::CharBackend* backend : backends_) backend->reopen();
}

Signals::Watch Run::watch_signals() {
  constexpr int kRequests = 2;  // the power button, then an end of the machine in order
  take_terminal();
  return signals_.watch(machine_.env().loop, terminal_,
                        {.terminate = [this](int) { terminate(); },
                         .requests = kRequests,
                         .reopen = [this] { reopen_files(); },
                         .continued = [this] { continued(); },
                         .resized = [this] { tell_terminal_size(); }});
}

// What start() waits for, such as a large kernel, is cut short by signals and Ctrl-C: it comes
// before the watch and before the terminal is raw.
End Run::wait_for_end() {
  const RestoreAtDeath restore_at_death(terminal_);
  machine_.on_pause([this](const std::string& why) { paused(why); });
  usage_step<ConfigError>([this] { machine_.start(); });
  const auto watch = call(machine_.env().loop, [this] { return watch_signals(); });
  const End end = machine_.wait();
  foreground_.reset();
  terminal_.restore();
  return end;
}

// Output that was lost is no success, even if the guest knows nothing of it.
int Run::run_to_end() {
  const End end = wait_for_end();
  if (const std::string words = last_words(end); !words.empty()) tell_lines(words);
  if (out_of_time_)
    tell(
        fmt::format("the guest did not switch itself off within {} seconds and was stopped "
                    "(--shutdown-timeout)",
                    options_.shutdown_timeout.count()));
  const int status = exit_status(end);
  return status == kOk && output_lost_ ? kHostError : status;
}

int run(const RunArguments& arguments) {
  Signals signals(::isatty(STDIN_FILENO) == 1 ? Signals::HangUp::ends : Signals::HangUp::reopens);
  const RunOptions options = usage_step<std::exception>([&] { return resolve(arguments); });
  if (options.print_config) {
    std::fputs(pc::config_text(options.spec).c_str(), stdout);
    return kOk;
  }
  Run run(options,
          usage_step<ConfigError>([&] { return machine_config(options.spec, options.log); }),
          signals);
  usage_step<ConfigError>([&] { run.build(); });
  if (options.dry_run) {
    usage_step<ConfigError>([&] { run.check_kernel(); });
    run.print_shape();
    return kOk;
  }
  return run.run_to_end();
}

}  // namespace

void add_run(Options& program) {
  Options command = program.command("run", "Start a virtual machine and wait for its end");
  auto arguments = std::make_shared<RunArguments>();
  add_run_options(command, *arguments);
  command.action([arguments] { return run(*arguments); });
}

}  // namespace vireo::cli
