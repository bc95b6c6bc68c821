#include "tools/vireo/run_options.h"

#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "devices/pc/config.h"
#include "tools/vireo/candidates.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr const char* kFooter =
    R"(With a screen the guest has a PS/2 keyboard and mouse and a virtio keyboard and tablet, and the
kernel is told to use the screen as a console (console=tty0).

What --serial and --console connect to:
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

--config FILE reads a description of the machine, as --print-config writes it; the other options
come after it: a disk, an interface or a share with the name of one of the file's takes its place.

Without --kernel, a BIOS starts what is on the disks. What it says, and asks, is on the serial port.

Examples:
  vireo run --disk debian.img --memory 2G
  vireo run --kernel vmlinuz --initrd initrd.img --append console=ttyS0
  vireo run --kernel vmlinuz --initrd initrd.img --append 'console=ttyS0 root=/dev/vda' \
            --memory 2G --cpus 2 --disk debian.img --disk path=data.raw,readonly=on,serial=D1 \
            --net user,hostfwd=tcp:127.0.0.1:2222-:22
  vireo run --kernel vmlinuz --initrd initrd.img --append root=/dev/vda --disk debian.img \
            --display vnc=127.0.0.1:5900,web=127.0.0.1:6080
  vireo run --kernel vmlinuz --initrd initrd.img --append console=ttyS0 --share src,tag=src
            in the guest: mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap src /mnt)";

// A dry run makes no file.
Logger make_logger(const RunArguments& arguments) {
  const LogLevel level =
      with_context("--log-level", [&] { return parse_log_level(arguments.log_level); });
  if (arguments.log_file.empty() || arguments.dry_run) return Logger::to_stderr(level);
  return Logger::to_file(level, arguments.log_file);
}

pc::PcSpec spec_of(const RunArguments& arguments) {
  const std::string config = arguments.configs.empty() ? "" : arguments.configs.back();
  pc::PcSpec spec = pc::read_options(config, arguments.machine, "--");
  if (!spec.serial) spec.serial = dev::CharSpec{dev::CharSpec::Kind::stdio};
  check(spec);
  return spec;
}

void add_words(Options& run, RunArguments& arguments) {
  pc::PcSpec spec;
  for (const auto& [key, is_flag, value, words] : pc::keys_of(spec).describe()) {
    const std::string name(key.name), option = "--" + name, help(key.help);
    if (is_flag) {
      run.flag(
          option,
          [&arguments, name] {
            arguments.machine.push_back({name, "on"});
          },
          help);
      continue;
    }
    const auto take = [&arguments, name](const std::string& text) {
      arguments.machine.push_back({name, text});
    };
    const std::string preset = name == "serial" ? "stdio" : value;
    Option added = run.option(option, std::string(key.values), take, help);
    if (!preset.empty()) added.say_default(preset);
  }
}

void add_parts(Options& run, RunArguments& arguments) {
  for (const pc::PartKind& kind : pc::part_kinds()) {
    const std::string name(kind.key.name);
    run.option(
           "--" + name, std::string(kind.key.values),
           [&arguments, name](const std::string& text) {
             arguments.machine.push_back({name, text});
           },
           std::string(kind.key.help))
        .complete([keys = kind.keys](const std::string& written) {
          return complete_keys(keys(), written);
        });
  }
}

// The keys of all parts, each list behind an empty line but the first.
std::string help_of_parts() {
  std::string text;
  for (const pc::PartKind& kind : pc::part_kinds())
    text += fmt::format("{}:\n{}\n", kind.heading, kind.help());
  text.pop_back();
  return text;
}

}  // namespace

RunOptions resolve(const RunArguments& arguments) {
  RunOptions options;
  options.spec = spec_of(arguments);
  constexpr uint64_t kDay = 24 * 60 * 60;
  options.shutdown_timeout =
      std::chrono::seconds(parse_number("--shutdown-timeout", arguments.shutdown_timeout, 0, kDay));
  options.dry_run = arguments.dry_run;
  options.print_config = arguments.print_config;
  if (!options.print_config) options.log = make_logger(arguments);
  return options;
}

void add_run_options(Options& run, RunArguments& a) {
  run.footer(help_of_parts, kFooter);
  run.option("--config", "FILE", a.configs,
             "Begin with this description of a machine, in JSON; the other options change it");
  add_words(run, a);
  add_parts(run, a);
  run.option("--shutdown-timeout", "SECONDS", a.shutdown_timeout,
             "How long a guest may take to switch itself off after SIGTERM or SIGINT")
      .show_default();
  run.option("--log-level", "LEVEL", a.log_level, "trace, debug, info, warn, error or off")
      .show_default();
  run.option("--log-file", "FILE", a.log_file, "Log to this file instead of standard error");
  run.flag("--dry-run", a.dry_run,
           "Build the machine, print what it consists of, and do not start it");
  run.flag(
      "--print-config", a.print_config,
      "Print the machine's description in JSON, for --config; no file that it names is opened");
}

}  // namespace vireo::cli
