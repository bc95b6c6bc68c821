#include "guest-tests/harness.h"

#include <stdlib.h>

#include <utility>

#include <catch2/catch.hpp>

#include "guest-tests/test_devices.h"
#include "vireo/console_backend.h"
#include "vmm/base/error.h"

namespace vireo::guest_tests {

namespace {

// Where the guests look for them.
constexpr uint64_t kMemoryPorts = 0x5000;
constexpr uint64_t kMemoryAddress = 0xc8000ff8;
constexpr uint64_t kCounterPorts = 0x5100;
constexpr uint64_t kCounterAddress = 0xc8002000;

pc::PcSpec spec_of(const LinuxBoot& boot, const GuestOptions& options) {
  pc::PcSpec spec{.memory = options.memory,
                  .vcpus = options.vcpus,
                  .boot = boot,
                  .irqchip = boot.kernel.empty() ? std::nullopt : std::optional(options.irqchip),
                  .no_reboot = !options.reboot,
                  .debug_exit = true};
  for (const blk::Spec& image : options.disks) {
    const std::string name = "disk" + std::to_string(spec.disks.size());
    spec.disks.push_back(
        {.id = name, .serial = name, .image = image, .iothread = options.iothread});
  }
  if (options.screen) spec.display = pc::DisplaySpec{.mode = *options.screen};
  if (options.virtio) spec.console = dev::CharSpec{};
  return spec;
}

// The kernel that has started it is not read again.
pc::PcSpec spec_in_snapshot(const GuestOptions& options) {
  return spec_of(options.bios ? LinuxBoot{} : LinuxBoot{.kernel = "in-the-snapshot"}, options);
}

VmConfig config_of(const pc::PcSpec& spec, const GuestOptions& options) {
  VmConfig config = machine_config(spec);
  config.memory.shared = options.shared_memory;
  return config;
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

TestMachine::TestMachine(const LinuxBoot& boot, const GuestOptions& options)
    : TestMachine(spec_of(boot, options), options) {
  machine_.boot(pc_.boot);
}

TestMachine::TestMachine(const GuestOptions& options) : TestMachine(spec_of({}, options), options) {
  machine_.boot(pc_.boot);
}

TestMachine::TestMachine(const pc::PcSpec& spec, const GuestOptions& options)
    : machine_(config_of(spec, options)), pc_(build(spec)) {}

TestMachine::TestMachine(Snapshot snapshot, const GuestOptions& options)
    : machine_(config_of(spec_in_snapshot(options), options), std::move(snapshot)),
      pc_(build(spec_in_snapshot(options))) {}

pc::Pc TestMachine::build(const pc::PcSpec& spec) {
  machine_.add<MemoryDevice>("port-memory", Where::ports, kMemoryPorts);
  machine_.add<MemoryDevice>("memory", Where::memory, kMemoryAddress);
  machine_.add<CounterDevice>("port-counter", Where::ports, kCounterPorts);
  machine_.add<CounterDevice>("counter", Where::memory, kCounterAddress);
  return rebuild_pc(machine_, spec, {.backend = [this](const std::string& device, const auto&) {
                      return device == "com1" ? backend_of(console_) : backend_of(virtio_console_);
                    }});
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
    } catch (const ExpectError&) {
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
