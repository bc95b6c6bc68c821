#include "tools/vireo/run_options.h"

#include <fmt/format.h>

#include "tools/vireo/parse.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

constexpr const char* kFooter =
    R"(What --serial and --console connect to:
  stdio         this terminal; Ctrl-A x quits, Ctrl-A p presses the power button, Ctrl-A h helps
  null          nothing
  file:PATH     output to a file
  unix:PATH     a socket to connect to, one client at a time
  pty           a pseudo-terminal, whose name is printed

Exit status:
  0             the guest switched itself off
  2             wrong options, or a file they name is missing or unusable
  4             the host could not run it (no KVM, no memory, …), or the guest switched itself off
                and its output could not all be written (disk full)
  6             the guest crashed (triple fault, or KVM could not go on)
  8             the guest asked for a reset, under --no-reboot
  10            stopped by a signal or Ctrl-A x
  odd           --debug-exit: (value << 1) | 1
SIGTERM and SIGINT press the power button, and the guest has --shutdown-timeout seconds to switch
itself off before it is stopped; the second one stops the machine at once, and the third one does
not wait for its disks to be flushed. Before the guest runs, the first one ends it all.
A machine that is paused (on-enospc=stop) ends at the first; SIGCONT continues it.
SIGHUP does the same when standard input is a terminal; otherwise it opens the files of --log-file
and --serial file: (--console file:) again, after a rotation has moved them away.
A signal that was ignored when vireo was started (nohup) stays ignored.
In a shell's background the machine runs on without the terminal's input, which it gets with fg.

Examples:
  vireo run --kernel vmlinuz --initrd initrd.img --append console=ttyS0
  vireo run --kernel vmlinuz --initrd initrd.img --append 'console=ttyS0 root=/dev/vda' \
            --memory 2G --cpus 2 --disk debian.img --disk path=data.raw,readonly=on,serial=D1 \
            --net user,hostfwd=tcp:127.0.0.1:2222-:22
  vireo run --kernel vmlinuz --initrd initrd.img --append root=/dev/vda --disk debian.img \
            --display vnc=127.0.0.1:5900,web=127.0.0.1:6080
  vireo run --kernel vmlinuz --initrd initrd.img --append console=ttyS0 --share src,tag=src
            in the guest: mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap src /mnt)";

uint64_t parse_memory(const std::string& text) {
  const uint64_t bytes = parse_size("--memory", text);
  // The bounds that need the host are GuestMemory's; these two catch slips of the pen.
  if (bytes < MiB)
    throw ConfigError(fmt::format("--memory: {} bytes are too little: write 128M, 2G, …", bytes));
  if (bytes % kPageSize != 0)
    throw ConfigError(fmt::format("--memory: {} is not a multiple of 4096 bytes", text));
  return bytes;
}

dev::CharSpec parse_chardev(const char* option, const std::string& text) {
  return with_context(option, [&] { return dev::parse_char_spec(text); });
}

// A dry run makes no file.
Logger make_logger(const RunArguments& arguments) {
  const LogLevel level =
      with_context("--log-level", [&] { return parse_log_level(arguments.log_level); });
  if (arguments.log_file.empty() || arguments.dry_run) return Logger::to_stderr(level);
  return Logger::to_file(level, arguments.log_file);
}

}  // namespace

RunOptions resolve(const RunArguments& arguments) {
  RunOptions options;
  options.machine.memory.size = parse_memory(arguments.memory);
  options.machine.vcpus =
      static_cast<uint32_t>(parse_number("--cpus", arguments.cpus, 1, kMaxVcpus));
  options.machine.reboot = !arguments.no_reboot;
  options.boot.kernel = arguments.kernel;
  options.boot.initrd = arguments.initrd;
  options.boot.cmdline = arguments.append;
  if (arguments.irqchip != "auto")
    options.irqchip =
        arguments.irqchip == "pc" ? MachineConfig::Irqchip::pc : MachineConfig::Irqchip::apic;
  options.boot.unpack = arguments.kernel_unpack == "never" ? Unpack::never : Unpack::automatic;
  options.disks = parse_disks(arguments.disks);
  options.shares = parse_shares(arguments.shares);
  options.name = arguments.name;
  options.nets = parse_nets(arguments.nets);
  options.display = parse_display(arguments.displays);
  options.serial = parse_chardev("--serial", arguments.serial);
  if (!arguments.console.empty()) options.console = parse_chardev("--console", arguments.console);
  if (options.console && options.console->kind == dev::CharSpec::Kind::stdio &&
      options.serial.kind == dev::CharSpec::Kind::stdio)
    throw ConfigError("--console: the terminal is the serial port's: add --serial null");
  constexpr uint64_t kDay = 24 * 60 * 60;
  options.shutdown_timeout =
      std::chrono::seconds(parse_number("--shutdown-timeout", arguments.shutdown_timeout, 0, kDay));
  options.debug_exit = arguments.debug_exit;
  options.dry_run = arguments.dry_run;
  options.virtio_cmdline = arguments.virtio_cmdline;
  options.machine.log = make_logger(arguments);
  return options;
}

CLI::App* add_run_options(CLI::App& app, RunArguments& a) {
  auto* const run = app.add_subcommand("run", "Start a virtual machine and wait for its end");
  run->footer(
      fmt::format("{}\n{}\n{}\n{}\n{}", kDiskHelp, kShareHelp, kNetHelp, kDisplayHelp, kFooter));
  run->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  run->add_option("--kernel", a.kernel,
                  "Kernel: a bzImage, a vmlinux, or an ELF with a PVH note or multiboot header")
      ->required()
      ->type_name("FILE");
  run->add_option("--initrd", a.initrd, "Initial RAM disk")->type_name("FILE");
  run->add_option("--append", a.append, "The kernel's command line")->type_name("STR");
  run->add_option("--cpus", a.cpus, "Number of vCPUs")->type_name("N")->capture_default_str();
  run->add_option("--memory", a.memory, "Memory: 512M, 4G, …")
      ->type_name("SIZE")
      ->capture_default_str();
  run->add_option("--disk", a.disks,
                  "A disk, repeatable: path=FILE[,format=raw|qcow2][,readonly=on][,KEY=VALUE...], "
                  "or a bare path; the keys are below")
      ->type_name("SPEC")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  run->add_option("--share", a.shares,
                  "A directory for the guest to mount, repeatable: path=DIR,tag=NAME[,readonly=on]"
                  "[,security=none|passthrough|mapped-xattr|mapped-file][,squash=UID:GID]"
                  "[,msize=SIZE]; a bare path works, too")
      ->type_name("SPEC")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  run->add_option("--net", a.nets,
                  "A network interface, repeatable: user[,hostfwd=tcp:[ADDRESS]:PORT-:PORT]…, "
                  "tap=NAME, bridge=NAME, fd=N, socket=unix:PATH or none (the default); see below")
      ->type_name("SPEC")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  run->add_option("--display", a.displays,
                  "A screen with keyboard and pointer: none (the default), vnc=ADDRESS:PORT, "
                  "vnc=unix:PATH, web=ADDRESS:PORT[,mode=WxH][,KEY=VALUE...]; see below")
      ->type_name("SPEC")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  run->add_option("--name", a.name,
                  "The machine's name, which its network interfaces' addresses are derived from")
      ->type_name("NAME");
  run->add_option("--serial", a.serial, "What the first serial port (ttyS0) is connected to")
      ->type_name("stdio|null|file:PATH|unix:PATH|pty")
      ->capture_default_str();
  run->add_option("--console", a.console, "Adds a virtio console (hvc0), connected to this")
      ->type_name("stdio|null|file:PATH|unix:PATH|pty");
  run->add_option("--kernel-unpack", a.kernel_unpack,
                  "auto: unpack a bzImage on the host and keep it for the next start; never: leave "
                  "it to the guest")
      ->check(CLI::IsMember({"auto", "never"}))
      ->capture_default_str();
  run->add_option("--irqchip", a.irqchip,
                  "apic: what Linux needs; pc: the old PICs and timer as well, for kernels that "
                  "cannot do without; auto: apic for Linux, pc for other programs")
      ->check(CLI::IsMember({"auto", "apic", "pc"}))
      ->capture_default_str();
  run->add_flag(
      "--virtio-cmdline", a.virtio_cmdline,
      "Tell the kernel of its disks with virtio_mmio.device= words, for kernels without ACPI");
  run->add_option("--shutdown-timeout", a.shutdown_timeout,
                  "How long a guest may take to switch itself off after SIGTERM or SIGINT")
      ->type_name("SECONDS")
      ->capture_default_str();
  run->add_flag("--no-reboot", a.no_reboot, "End, with status 8, when the guest asks for a reset");
  run->add_flag("--debug-exit", a.debug_exit,
                "A port (0xf4) by which the guest sets the exit status");
  run->add_option("--log-level", a.log_level, "trace, debug, info, warn, error or off")
      ->type_name("LEVEL")
      ->capture_default_str();
  run->add_option("--log-file", a.log_file, "Log to this file instead of standard error")
      ->type_name("FILE");
  run->add_flag("--dry-run", a.dry_run,
                "Build the machine, print what it consists of, and do not start it");
  return run;
}

}  // namespace vireo::cli
