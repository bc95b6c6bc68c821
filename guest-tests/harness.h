// Machines for tests, of descriptions and the core (vmm/vm.h), so that tests can add devices of
// their own; library_test.cc uses nothing but what is installed.
//
// Thread: the test's own is the control thread. Every wait ends at kPatience, which no test is
// meant to come near: it bounds what a failure costs.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "blockdev/open.h"
#include "devices/pc/build.h"
#include "vireo/console.h"
#include "vmm/memory/layout.h"
#include "vmm/vm.h"

namespace vireo::guest_tests {

inline constexpr std::chrono::seconds kPatience{120};

// The program of that name in guests/.
std::filesystem::path guest_program(const std::string& name);

struct GuestOptions {
  std::string arguments{};  // the guest's command line
  uint64_t memory = 16 * MiB;
  uint32_t vcpus = 1;
  bool reboot = false;
  bool shared_memory = false;
  VmConfig::Irqchip irqchip = VmConfig::Irqchip::apic;
  std::vector<blk::Spec> disks{};         // "disk0", "disk1", ...: also their serial numbers
  bool iothread = false;                  // one for each disk
  bool bios = false;                      // of a snapshot: a BIOS has started it
  bool virtio = false;                    // a virtio console
  std::optional<display::Size> screen{};  // with a keyboard and a mouse
};

struct Outcome {
  std::optional<End> end{};  // nothing: it still ran when patience was over, and was stopped
  std::string text{};        // what the guest said on the serial port
};

// A machine with what the programs in guests/ expect: serial port, debug exit, power management,
// clock, keyboard controller, and the devices of test_devices.h.
class TestMachine {
 public:
  explicit TestMachine(const std::string& guest, const GuestOptions& options = {});
  TestMachine(const LinuxBoot& boot, const GuestOptions& options);
  // One whose BIOS starts the first disk.
  explicit TestMachine(const GuestOptions& options);
  // One that goes on from a snapshot of another.
  TestMachine(Snapshot snapshot, const GuestOptions& options);

  Vm& machine() noexcept { return machine_; }
  Console& console() noexcept { return console_; }                // the serial port
  Console& virtio_console() noexcept { return virtio_console_; }  // its first and only port
  dev::AcpiPower& power() noexcept { return *pc_.power; }
  dev::VirtioBus& virtio() noexcept { return *pc_.virtio; }
  const dev::DisplayDevices& display() const { return pc_.display.value(); }

  void start() { machine_.start(); }
  Outcome wait();
  // Reads the console up to and including the text. Meanwhile the machine may reboot; throws
  // ExpectError when patience is over, or the machine ends without having said it.
  std::string expect(const std::string& text);

 private:
  TestMachine(const pc::PcSpec& spec, const GuestOptions& options);
  pc::Pc build(const pc::PcSpec& spec);

  Console console_;
  Console virtio_console_;
  Vm machine_;
  pc::Pc pc_;
};

Outcome run_guest(const std::string& guest, const GuestOptions& options = {});
// Runs it and checks that it passed; a failure shows what it said.
void expect_pass(const std::string& guest, const GuestOptions& options = {});

// For messages of failed checks.
std::string describe(const Outcome& outcome);

// A directory that goes with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace vireo::guest_tests
