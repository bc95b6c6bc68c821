// Debian's kernels as guests, through descriptions of machines: tools/lib/linux-guests puts the
// kernels and their initrds where VIREO_LINUX_GUESTS says. Thread: the test's own is the control
// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "devices/pc/build.h"
#include "guest-tests/harness.h"
#include "vireo/console.h"
#include "vmm/vm.h"

namespace vireo::guest_tests {

inline constexpr const char* kPrompt = "vireo:/# ";

struct LinuxOptions {
  std::string kernel = "cloud";
  uint32_t vcpus = 1;
  uint64_t memory = 128 * MiB;
  std::vector<pc::DiskSpec> disks{};  // /dev/vda, /dev/vdb, ... of bus=virtio
  std::vector<pc::CdromSpec> cdroms{};
  std::vector<pc::ShareSpec> shares{};
  std::string append{};  // more words of the command line
  SmbiosInfo smbios{};
  bool reboot = false;
  std::optional<display::Size> screen{};  // with a keyboard and a pointer
};

// A machine as `vireo run` makes it, at a shell on its serial port.
class LinuxMachine {
 public:
  explicit LinuxMachine(const LinuxOptions& options);
  LinuxMachine(Snapshot snapshot, const LinuxOptions& options);

  Vm& machine() noexcept { return machine_; }
  dev::AcpiPower& power() noexcept { return *pc_.power; }
  dev::VirtioBus& virtio() noexcept { return *pc_.virtio; }
  const dev::DisplayDevices& display() const { return pc_.display.value(); }
  std::filesystem::path vmlinux() const;  // the kernel, unpacked
  const pc::Pc& pc() const noexcept { return pc_; }
  dev::Blk& disk(size_t index) { return *pc_.disks.at(index); }

  std::string expect(const std::string& text);
  void come_up();  // to the prompt
  void type(const std::string& line) { console_.write(line + "\n"); }
  // What the shell prints for a command: its echo is cut off.
  std::string run(const std::string& command);
  End wait();

 private:
  const std::filesystem::path guest_;
  Console console_;  // outlives the machine
  Vm machine_;
  pc::Pc pc_;
};

// What a command of the host prints; the test fails when it does.
std::string output_of(const std::string& command);

}  // namespace vireo::guest_tests
