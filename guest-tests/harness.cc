#include "guest-tests/harness.h"

#include <stdlib.h>

#include <utility>

#include <catch2/catch.hpp>

#include "devices/legacy/debug_exit.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/rtc.h"
#include "devices/legacy/uart.h"
#include "devices/virtio/add.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/rng.h"
#include "guest-tests/test_devices.h"
#include "vmm/base/error.h"

namespace vireo::guest_tests {

namespace {

// Where the guests look for them.
constexpr uint64_t kMemoryPorts = 0x5000;
constexpr uint64_t kMemoryAddress = 0xc8000ff8;
constexpr uint64_t kCounterPorts = 0x5100;
constexpr uint64_t kCounterAddress = 0xc8002000;

MachineConfig config_of(const GuestOptions& options) {
  return {.memory = {.size = options.memory, .shared = options.shared_memory},
          .vcpus = options.vcpus,
          .irqchip = options.irqchip,
          .reboot = options.reboot};
}

const char* name_of(End::Reason reason) {
  switch (reason) {
    case End::Reason::power_off:
      return "power-off";
    case End::Reason::reset:
      return "reset";
    case End::Reason::debug_exit:
      return "debug exit";
    case End::Reason::crash:
      return "crash";
    case End::Reason::stopped:
      return "stopped";
    case End::Reason::host_error:
      return "host error";
  }
  return "?";
}

}  // namespace

std::filesystem::path guest_program(const std::string& name) {
  return std::filesystem::path(VIREO_GUESTS) / name;
}

TestMachine::TestMachine(const std::string& guest, const GuestOptions& options)
    : TestMachine(LinuxBoot{.kernel = guest_program(guest), .cmdline = options.arguments},
                  options) {}

TestMachine::TestMachine(LinuxBoot boot, const GuestOptions& options)
    : machine_(config_of(options)) {
  add_devices(options);
  if (display_) boot.framebuffer = display_->screen.boot_information();
  machine_.boot(std::move(boot));
}

TestMachine::TestMachine(Snapshot snapshot, const GuestOptions& options)
    : machine_(config_of(options), std::move(snapshot)) {
  add_devices(options);
}

void TestMachine::add_devices(const GuestOptions& options) {
  machine_.add<dev::Uart>("com1", console_.backend());
  machine_.add<dev::DebugExit>("debug-exit");
  power_ = &machine_.add<dev::AcpiPower>("power");
  machine_.add<dev::Rtc>("rtc", std::chrono::system_clock::now);
  if (options.screen)
    display_.emplace(dev::add_display(machine_, *options.screen));
  else
    machine_.add<dev::I8042>("i8042");
  machine_.add<MemoryDevice>("port-memory", Where::ports, kMemoryPorts);
  machine_.add<MemoryDevice>("memory", Where::memory, kMemoryAddress);
  machine_.add<CounterDevice>("port-counter", Where::ports, kCounterPorts);
  machine_.add<CounterDevice>("counter", Where::memory, kCounterAddress);
  for (size_t i = 0; i < options.disks.size(); ++i)
    add_disk("disk" + std::to_string(i), options.disks[i], options.iothread);
  if (!options.virtio) return;
  dev::add_virtio<dev::Rng>(machine_, "rng");
  dev::add_virtio<dev::Console>(machine_, "console", virtio_console_.backend());
}

void TestMachine::add_disk(const std::string& name, const blk::Spec& spec, bool iothread) {
  DeviceEnv& env = machine_.env();
  EventLoop& home = iothread ? machine_.add_loop() : env.loop;
  auto disk = block_on(home, blk::open_disk({home, env.pool, env.log}, name, spec));
  dev::add_virtio_at<dev::Blk>(machine_, home, name, std::move(disk),
                               dev::BlkConfig{.serial = name});
}

Outcome TestMachine::wait() {
  auto end = machine_.wait_until(std::chrono::steady_clock::now() + kPatience);
  if (!end) machine_.stop();
  return {std::move(end), console_.transcript()};
}

// Reboots are carried out by the thread that waits for the end, and this is it.
std::string TestMachine::expect(const std::string& text) {
  constexpr std::chrono::milliseconds kLook{20};
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    const bool ended = machine_.wait_until(std::chrono::steady_clock::now()).has_value();
    try {
      return console_.expect(text, ended ? std::chrono::milliseconds(0) : kLook);
    } catch (const dev::ExpectError&) {
      if (ended || std::chrono::steady_clock::now() > deadline) throw;
    }
  }
}

Outcome run_guest(const std::string& guest, const GuestOptions& options) {
  TestMachine machine(guest, options);
  machine.start();
  return machine.wait();
}

void expect_pass(const std::string& guest, const GuestOptions& options) {
  const Outcome outcome = run_guest(guest, options);
  INFO(guest << " " << options.arguments << ": " << describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == End::Reason::debug_exit);
  CHECK(outcome.end->value == 0);
}

std::string describe(const Outcome& outcome) {
  if (!outcome.end) return "hangs; it said:\n" + outcome.text;
  return std::string(name_of(outcome.end->reason)) + " " + std::to_string(outcome.end->value) +
         " " + outcome.end->detail + "; it said:\n" + outcome.text;
}

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = std::filesystem::temp_directory_path() / "vireo-guest-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw_errno("cannot make a temporary directory");
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace vireo::guest_tests
