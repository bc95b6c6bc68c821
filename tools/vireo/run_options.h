// What `vireo run` was asked for: options as they were written, then checked and resolved.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "devices/chardev.h"
#include "tools/vireo/disk_option.h"
#include "tools/vireo/display_option.h"
#include "tools/vireo/net_option.h"
#include "tools/vireo/share_option.h"
#include "vmm/boot/linux.h"
#include "vmm/machine.h"

namespace vireo::cli {

// As written on the command line.
struct RunArguments {
  std::string kernel, initrd, append;
  std::string memory = "256M";
  std::string cpus = "1";
  std::string name;
  std::vector<std::string> disks;
  std::vector<std::string> shares;
  std::vector<std::string> nets;
  std::vector<std::string> displays;
  std::string serial = "stdio";
  std::string console;
  std::string kernel_unpack = "auto";
  std::string irqchip = "auto";
  std::string log_level = "warn", log_file;
  std::string shutdown_timeout = "10";
  bool no_reboot = false, debug_exit = false, dry_run = false, virtio_cmdline = false;
};

// Checked: every value is in range and every name is known. Files are not looked at yet.
struct RunOptions {
  MachineConfig machine{};                          // but for the irqchip
  std::optional<MachineConfig::Irqchip> irqchip{};  // what suits the kernel, when not given
  LinuxBoot boot{};
  std::string name{};  // of the machine; may be empty
  std::vector<DiskOption> disks{};
  std::vector<dev::P9Config> shares{};
  std::vector<NetOption> nets{};
  std::optional<DisplayOption> display{};
  dev::CharSpec serial{};
  std::optional<dev::CharSpec> console{};
  std::chrono::seconds shutdown_timeout{};  // for a guest whose power button a signal pressed
  bool debug_exit = false;
  bool dry_run = false;
  bool virtio_cmdline = false;
};

// Throws ConfigError naming the option.
RunOptions resolve(const RunArguments& arguments);

// The subcommand with all its options, bound to `arguments`.
CLI::App* add_run_options(CLI::App& app, RunArguments& arguments);

}  // namespace vireo::cli
