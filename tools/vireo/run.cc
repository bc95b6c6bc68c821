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
#include <variant>
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
#include "vmm/memory/layout.h"

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
  Run(const RunOptions& options, Signals& signals)
      : options_(options),
        signals_(signals),
        terminal_(uses_terminal() ? STDIN_FILENO : -1),
        machine_(options.machine),
        power_(&machine_.add<dev::AcpiPower>("power")) {}

  void add_devices();
  void check_kernel();
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
  Machine machine_;
  dev::AcpiPower* power_;
  LinuxBoot boot_;                            // with the command line as the kernel gets it
  std::vector<std::string> shape_;            // what --dry-run prints of screen and networks
  dev::Console* terminal_console_ = nullptr;  // the one that is the user's terminal
  std::vector<dev::CharBackend*> backends_;   // of the machine's devices
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
      .output_lost =
          [this](std::error_code why) {
            if (why != std::errc::broken_pipe) output_lost_ = true;  // a reader may leave
          },
      .pty_made = pty_made,
      .escape = [this](dev::EscapeCommand command) { escape(command); }};
  // A file that cannot be opened is one the user named.
  auto made =
      usage_step<std::exception>([&] { return dev::make_char_backend(spec, char_options); });
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
  if (command == dev::EscapeCommand::power_button) power_->press_power_button();
  if (command == dev::EscapeCommand::help) print_help();
}

// The first request is polite: the guest gets to shut down, if it runs. The second is not.
void Run::terminate() {
  if (std::exchange(asked_to_end_, true) || paused_) return machine_.request_stop();
  power_->press_power_button();
  deadline_ = machine_.env().loop.after(options_.shutdown_timeout, [this] { out_of_time(); });
}

void Run::out_of_time() {
  out_of_time_ = true;
  machine_.request_stop();
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

// As a dry run opens it: without a socket's file of our own.
dev::NetSpec without_file(dev::NetSpec network) {
  if (auto* const socket = std::get_if<dev::SocketNetConfig>(&network)) socket->local.clear();
  return network;
}

void Run::add_net(const NetOption& net, size_t index) {
  const dev::NetSpec spec = options_.dry_run ? without_file(net.network) : net.network;
  auto network =
      with_context("--net", [&] { return dev::open_net(net.id, spec, options_.machine.log); });
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
  boot_ = boot;
  machine_.boot(std::move(boot));
}

// What start() would find wrong with the kernel, the initrd and the command line. Leaves no trace
// in the cache of unpacked kernels.
void Run::check_kernel() {
  boot_.cache.clear();
  load_linux(machine_.env().memory, boot_, layout::kAcpiTables, options_.machine.log);
}

bool Run::uses_terminal() const {
  return is_stdio(options_.serial) || (options_.console && is_stdio(*options_.console));
}

void Run::print_shape() {
  std::printf("memory   %llu MiB\nvcpus    %u\nkernel   %s\n",
              static_cast<unsigned long long>(options_.machine.memory.size / MiB),
              options_.machine.vcpus, options_.boot.kernel.c_str());
  if (!options_.boot.initrd.empty()) std::printf("initrd   %s\n", options_.boot.initrd.c_str());
  std::printf("cmdline  %s\n", boot_.cmdline.c_str());
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
  options_.machine.log.reopen();
  for (dev::CharBackend* backend : backends_) backend->reopen();
}

Signals::Watch Run::watch_signals() {
  constexpr int kRequests = 2;  // the power button, then an end of the machine in order
  take_terminal();
  return signals_.watch(machine_.env().loop, terminal_,
                        {.terminate = [this] { terminate(); },
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

// Linux takes the chips that the tables tell of; other programs expect a PC's.
MachineConfig::Irqchip irqchip_for(const LinuxBoot& boot) {
  return is_linux(boot) ? MachineConfig::Irqchip::apic : MachineConfig::Irqchip::pc;
}

int run(const RunArguments& arguments) {
  Signals signals(::isatty(STDIN_FILENO) == 1 ? Signals::HangUp::ends : Signals::HangUp::reopens);
  std::optional<RunOptions> options;
  usage_step<std::exception>([&] { options = resolve(arguments); });
  options->machine.irqchip =
      options->irqchip ? *options->irqchip
                       : usage_step<ConfigError>([&] { return irqchip_for(options->boot); });
  Run run(*options, signals);
  usage_step<ConfigError>([&] { run.add_devices(); });
  if (options->dry_run) {
    usage_step<ConfigError>([&] { run.check_kernel(); });
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
