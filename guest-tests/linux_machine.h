// Debian's kernels as guests, through the public interface: tools/lib/linux-guests puts the kernels
// and their initrds where VIREO_LINUX_GUESTS says. Thread: the test's own is the control thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "blockdev/open.h"
#include "devices/add_display.h"
#include "devices/chardev/ring.h"
#include "devices/legacy/acpi_power.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/p9.h"
#include "guest-tests/harness.h"
#include "vmm/machine.h"

namespace vireo::guest_tests {

inline constexpr const char* kPrompt = "vireo:/# ";

struct LinuxDisk {
  blk::Spec spec{};
  dev::BlkConfig config{};
  bool iothread = false;
};

struct LinuxOptions {
  std::string kernel = "cloud";
  uint32_t vcpus = 1;
  uint64_t memory = 128 * MiB;
  std::vector<LinuxDisk> disks{};  // /dev/vda, /dev/vdb, ...
  std::vector<dev::P9Config> shares{};
  std::string append{};  // more words of the command line
  bool reboot = false;
  std::optional<display::Size> screen{};  // with a keyboard and a pointer
};

// A machine as `vireo run` makes it, at a shell on its serial port.
class LinuxMachine {
 public:
  explicit LinuxMachine(const LinuxOptions& options);
  LinuxMachine(Snapshot snapshot, const LinuxOptions& options);

  Machine& machine() noexcept { return machine_; }
  dev::AcpiPower& power() noexcept { return *power_; }
  const dev::DisplayDevices& display() const { return display_.value(); }
  std::filesystem::path vmlinux() const;  // the kernel, unpacked
  dev::Blk& disk(size_t index) { return *disks_.at(index); }

  std::string expect(const std::string& text);
  void come_up();  // to the prompt
  void type(const std::string& line) { console_.write(line + "\n"); }
  // What the shell prints for a command: its echo is cut off.
  std::string run(const std::string& command);
  End wait();

 private:
  void add_devices(const LinuxOptions& options);
  void add_disk(const LinuxDisk& disk);

  const std::filesystem::path guest_;
  dev::Ring console_;  // outlives the machine
  Machine machine_;
  dev::AcpiPower* power_ = nullptr;  // the machine's, as the disks
  std::vector<dev::Blk*> disks_;
  std::optional<dev::DisplayDevices> display_;
};

// What a command of the host prints; the test fails when it does.
std::string output_of(const std::string& command);

}  // namespace vireo::guest_tests
