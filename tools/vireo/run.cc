#include "tools/vireo/run.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "devices/add_display.h"
#include "devices/chardev.h"
#include "devices/chardev/terminal.h"
#include "devices/legacy/acpi_power.h"
#include "devices/legacy/debug_exit.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/rtc.h"
#include "devices/legacy/uart.h"
#include "devices/virtio/add.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/net.h"
#include "devices/virtio/p9.h"
#include "devices/virtio/rng.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/message.h"
#include "tools/vireo/run_options.h"
#include "tools/vireo/signals.h"
#include "vmm/base/error.h"
#include "vmm/base/line_writer.h"

namespace vireo::cli {

namespace {

bool is_stdio(const dev::CharSpec& spec) {
  return spec.kind == dev::CharSpec::Kind::stdio;
}

std::vector<std::string> serve_screen(Machine& machine, const dev::DisplayDevices& display,
                                      const display::RfbConfig& config) {
  try {
    return dev::serve_display(machine, display, config);
  } catch (const display::OpenToAllError& error) {
    throw ConfigError(fmt::format("{} (here: password-file=FILE, or open=on)", error.what()));
  }
}

class Run {
 public:
  explicit Run(const RunOptions& options)
      : options_(options),
        machine_(options.machine),
        power_(&machine_.add<dev::AcpiPower>("power")) {}

  void add_devices();
  void print_shape();
  int run_to_end();

 private:
  std::unique_ptr<dev::CharBackend> backend(const dev::CharSpec& spec);
  void add_disk(const DiskOption& disk);
  void add_net(const NetOption& net, size_t index);
  void add_console(const dev::CharSpec& spec);
  void add_display(const DisplayOption& option, LinuxBoot& boot);
  void tell_terminal_size();
  void add_shares(rlim_t descriptor_limit);
  bool uses_terminal() const;
  End wait_for_end();
  void paused(const dev::Terminal& terminal, const std::string& why);
  void resume(const dev::Terminal& terminal);
  void escape(dev::EscapeCommand command);
  void terminate();

  const RunOptions& options_;
  Signals signals_;  // before the machine: its threads inherit the mask
  Machine machine_;
  dev::AcpiPower* power_;
  std::string cmdline_;                       // as the kernel gets it
  std::vector<std::string> shape_;            // what --dry-run prints of screen and networks
  dev::Console* terminal_console_ = nullptr;  // the one that is the user's terminal
  bool asked_to_end_ = false;                 // the loop's
  std::atomic<bool> paused_ = false;
};

// Runs a step whose errors, or those of the type given, are about what the user named. All others
// are the host's.
template <class Error, class Step>
auto usage_step(Step step) {
  try {
    return step();
  } catch (const Error& error) {
    throw UsageError(describe(error));
  }
}

// A dry run leaves no trace: it makes no file, socket or terminal.
std::unique_ptr<dev::CharBackend> Run::backend(const dev::CharSpec& spec) {
  if (options_.dry_run) return dev::make_char_backend({}, {});
  const auto pty_made = [](const std::string& path) { tell("terminal: " + path); };
  const dev::CharOptions char_options{
      .log = options_.machine.log,
      .pty_made = pty_made,
      .escape = [this](dev::EscapeCommand command) { escape(command); }};
  // A file that cannot be opened is one the user named.
  return usage_step<std::exception>([&] { return dev::make_char_backend(spec, char_options); });
}

// To a terminal in raw mode.
void print_help() {
  const std::string_view help = dev::EscapeDecoder::help();
  LineWriter(STDERR_FILENO).write(fmt::format("\r\n{}", help.substr(0, help.size() - 1)));
}

void Run::escape(dev::EscapeCommand command) {
  if (command == dev::EscapeCommand::quit) machine_.request_stop();
  if (command == dev::EscapeCommand::power_button) power_->press_power_button();
  if (command == dev::EscapeCommand::help) print_help();
}

// The first request is polite: the guest gets to shut down, if it runs. The second is not.
void Run::terminate() {
  if (std::exchange(asked_to_end_, true) || paused_)
    machine_.request_stop();
  else
    power_->press_power_button();
}

void Run::add_disk(const DiskOption& disk) {
  EventLoop& home = disk.iothread ? machine_.add_loop() : machine_.env().loop;
  const blk::Host host{home, machine_.env().pool, options_.machine.log};
  auto opened = block_on(home, blk::open_disk(host, disk.id, disk.spec));
  dev::BlkConfig config{.serial = disk.serial, .queues = disk.queues};
  if (disk.stop_when_full)
    config.no_space = [this, path = disk.spec.path](const std::string& why) {
      machine_.request_pause(fmt::format("{} for '{}'", why, path));
    };
  dev::add_virtio_at<dev::Blk>(machine_, home, disk.id, std::move(opened), config);
}

void Run::add_console(const dev::CharSpec& spec) {
  auto& console = dev::add_virtio<dev::Console>(machine_, "console0", backend(spec));
  if (!is_stdio(spec)) return;
  terminal_console_ = &console;
  tell_terminal_size();
}

void Run::tell_terminal_size() {
  winsize size{};
  if (terminal_console_ != nullptr && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    terminal_console_->set_size(size.ws_col, size.ws_row);
}

// As many descriptors as this process may have: shares and user networks need one for each file and
// connection of the guest's.
rlim_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("cannot read the limit of open files");
  const rlim_t before = std::exchange(limit.rlim_cur, limit.rlim_max);
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
}

// Most of those that there are, in equal parts.
size_t descriptors_for_shares(rlim_t limit, size_t shares) {
  constexpr rlim_t kOurs = 128, kLeast = 64, kMost = 1 << 16;
  const rlim_t spare = limit > kOurs ? limit - kOurs : 0;
  return static_cast<size_t>(std::clamp<rlim_t>(spare / shares, kLeast, kMost));
}

void Run::add_shares(rlim_t descriptor_limit) {
  if (options_.shares.empty()) return;
  const size_t descriptors = descriptors_for_shares(descriptor_limit, options_.shares.size());
  for (dev::P9Config share : options_.shares) {
    share.share.descriptors = descriptors;
    share.share.own_loop = true;
    // A directory that cannot be served is one the user named.
    usage_step<std::exception>([&] {
      dev::add_virtio_at<dev::P9>(machine_, machine_.add_loop(), "share-" + share.tag, share);
    });
  }
}

void Run::add_net(const NetOption& net, size_t index) {
  auto network = with_context(
      "--net", [&] { return dev::open_net(net.id, net.network, options_.machine.log); });
  if (!options_.dry_run)
    for (const std::string& line : network->announcements())
      tell(fmt::format("{}: {}", net.id, line));
  const dev::MacAddress mac = net.mac ? *net.mac : default_mac(options_.name, *network, index);
  std::string line =
      fmt::format("net      {}: {}, {}", net.id, network->description(), dev::to_string(mac));
  dev::add_virtio<dev::Net>(machine_, net.id, std::move(network),
                            dev::NetConfig{.mac = mac, .mtu = net.mtu, .rates = net.rates});
  shape_.push_back(std::move(line));
}

void Run::add_display(const DisplayOption& option, LinuxBoot& boot) {
  const dev::DisplayDevices display = dev::add_display(machine_, option.mode);
  boot.framebuffer = display.screen.boot_information();
  boot.cmdline = with_screen_console(boot.cmdline);
  shape_.push_back(fmt::format("screen   {}x{}", option.mode.width, option.mode.height));
  if (options_.dry_run) return;
  display::RfbConfig config = option.server;
  if (!options_.name.empty()) config.name = options_.name;
  config.power_button = [this] { power_->press_power_button(); };
  config.log = options_.machine.log;
  for (const std::string& address :
       with_context("--display", [&] { return serve_screen(machine_, display, config); }))
    tell("screen: " + address);
}

void Run::add_devices() {
  const rlim_t descriptor_limit = raise_descriptor_limit();
  machine_.add<dev::Uart>("com1", backend(options_.serial));
  machine_.add<dev::Rtc>("rtc", std::chrono::system_clock::now);
  LinuxBoot boot = options_.boot;
  if (options_.display)
    add_display(*options_.display, boot);
  else
    machine_.add<dev::I8042>("i8042");
  if (options_.debug_exit) machine_.add<dev::DebugExit>("debug-exit");
  for (const DiskOption& disk : options_.disks) add_disk(disk);
  for (size_t i = 0; i < options_.nets.size(); ++i) add_net(options_.nets[i], i);
  add_shares(descriptor_limit);
  if (options_.console) add_console(*options_.console);
  dev::add_virtio<dev::Rng>(machine_, "rng0");
  if (options_.virtio_cmdline) boot.cmdline = with_virtio_mmio(boot.cmdline, machine_.env().acpi);
  cmdline_ = boot.cmdline;
  machine_.boot(std::move(boot));
}

bool Run::uses_terminal() const {
  return is_stdio(options_.serial) || (options_.console && is_stdio(*options_.console));
}

void Run::print_shape() {
  std::printf("memory   %llu MiB\nvcpus    %u\nkernel   %s\n",
              static_cast<unsigned long long>(options_.machine.memory.size / MiB),
              options_.machine.vcpus, options_.boot.kernel.c_str());
  if (!options_.boot.initrd.empty()) std::printf("initrd   %s\n", options_.boot.initrd.c_str());
  std::printf("cmdline  %s\n", cmdline_.c_str());
  for (const DiskOption& disk : options_.disks)
    std::printf("disk     %s: %s%s\n", disk.id.c_str(), disk.spec.path.c_str(),
                disk.spec.read_only ? " (read-only)" : "");
  for (const dev::P9Config& share : options_.shares)
    std::printf("share    %s: %s%s\n", share.tag.c_str(), share.share.directory.c_str(),
                share.share.read_only ? " (read-only)" : "");
  for (const std::string& line : shape_) std::printf("%s\n", line.c_str());
  for (const AcpiDevice& device : machine_.env().acpi)
    std::printf("device   at %#llx, interrupt %u\n",
                static_cast<unsigned long long>(device.address), device.gsi);
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

// The terminal is the user's while the guest can not read from it: Ctrl-C ends, Ctrl-Z leads to a
// shell, and fg back.
void Run::paused(const dev::Terminal& terminal, const std::string& why) {
  terminal.restore();
  paused_ = true;
  tell(fmt::format("{}; the machine is paused: make room, then continue it with kill -CONT {}", why,
                   ::getpid()));
}

void Run::resume(const dev::Terminal& terminal) {
  if (!paused_.exchange(false)) return;
  terminal.set_raw();
  machine_.request_resume();
}

End Run::wait_for_end() {
  const dev::Terminal terminal(uses_terminal() ? STDIN_FILENO : -1);
  const RestoreOnCrash restore_on_crash(terminal);
  const auto watch = signals_.watch(machine_.env().loop, terminal,
                                    {.terminate = [this] { terminate(); },
                                     .resume = [this, &terminal] { resume(terminal); },
                                     .resized = [this] { tell_terminal_size(); }});
  machine_.on_pause([this, &terminal](const std::string& why) { paused(terminal, why); });
  usage_step<ConfigError>([this] { machine_.start(); });
  return machine_.wait();
}

int Run::run_to_end() {
  const End end = wait_for_end();
  if (const std::string words = last_words(end); !words.empty()) tell_lines(words);
  return exit_status(end);
}

int run(const RunArguments& arguments) {
  std::optional<RunOptions> options;
  usage_step<std::exception>([&] { options = resolve(arguments); });
  Run run(*options);
  usage_step<ConfigError>([&] { run.add_devices(); });
  if (options->dry_run) {
    run.print_shape();
    return kOk;
  }
  return run.run_to_end();
}

}  // namespace

void add_run(CLI::App& app, int& status) {
  auto arguments = std::make_shared<RunArguments>();
  add_run_options(app, *arguments)->callback([arguments, &status] { status = run(*arguments); });
}

}  // namespace vireo::cli
