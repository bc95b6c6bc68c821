// Memory, tables, clock, and the ways to reset and to switch off.
#include <cstdio>
#include <ctime>
#include <thread>

#include <catch2/catch.hpp>

#include "guest-tests/harness.h"

namespace vireo::guest_tests {
namespace {

std::string memory_arguments(uint64_t memory, uint64_t step) {
  return "memory=" + std::to_string(memory) + " step=" + std::to_string(step);
}

TEST_CASE("every page of memory is there") {
  const uint64_t memory = 64 * MiB;
  expect_pass("memory", {.arguments = memory_arguments(memory, kPageSize), .memory = memory});
}

TEST_CASE("memory goes on above 4 GiB, and not before") {
  for (const uint64_t memory : {3 * GiB, 3 * GiB + 4 * MiB, 6 * GiB})
    expect_pass("memory", {.arguments = memory_arguments(memory, 4 * MiB), .memory = memory});
}

TEST_CASE("the ACPI tables") {
  expect_pass("acpi_tables");
  expect_pass("acpi_tables", {.vcpus = kMaxVcpus});
}

std::time_t parse_utc(const std::string& text) {
  std::tm moment{};
  REQUIRE(std::sscanf(text.c_str(), "%d-%d-%d %d:%d:%d", &moment.tm_year, &moment.tm_mon,
                      &moment.tm_mday, &moment.tm_hour, &moment.tm_min, &moment.tm_sec) == 6);
  moment.tm_year -= 1900;
  moment.tm_mon -= 1;
  return ::timegm(&moment);
}

TEST_CASE("the CMOS clock tells the host's time") {
  const std::time_t before = std::time(nullptr);
  const Outcome outcome = run_guest("rtc");
  const std::time_t after = std::time(nullptr);
  INFO(describe(outcome));
  const std::time_t told = parse_utc(outcome.text);
  CHECK(told >= before);
  CHECK(told <= after);
}

TEST_CASE("switching off") {
  const Outcome outcome = run_guest("power_off");
  INFO(describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == End::Reason::power_off);
}

TEST_CASE("a reset ends the machine when it shall not reboot") {
  for (const char* guest : {"reset_register", "keyboard_reset"}) {
    const Outcome outcome = run_guest(guest, {.reboot = false});
    INFO(guest << ": " << describe(outcome));
    REQUIRE(outcome.end);
    CHECK(outcome.end->reason == End::Reason::reset);
  }
}

TEST_CASE("a reset starts the guest again, as at the first time") {
  for (const auto irqchip : {VmConfig::Irqchip::apic, VmConfig::Irqchip::pc}) {
    TestMachine machine("reboot",
                        {.arguments = "cpus=2", .vcpus = 2, .reboot = true, .irqchip = irqchip});
    machine.start();
    for (const char* command : {"r", "r", "x"}) {
      machine.expect("up\n");
      machine.console().write(command);
    }
    const Outcome outcome = machine.wait();
    INFO(describe(outcome));
    REQUIRE(outcome.end);
    CHECK(outcome.end->reason == End::Reason::debug_exit);
    CHECK(outcome.end->value == 0);
    CHECK(outcome.text == "up\nup\nup\n");
  }
}

// Until the guest, which looks at its serial port all the time, does nothing more. On a busy host a
// vCPU may not get its turn for a while: one look does not tell.
void wait_for_silence(const Vm& machine) {
  constexpr int kLooks = 25;
  uint64_t exits = machine.exits();
  for (int silent = 0; silent < kLooks; ++silent) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (machine.exits() != exits) silent = -1;
    exits = machine.exits();
  }
}

TEST_CASE("a machine that is paused in the middle of its reset has started again") {
  const TemporaryDirectory directory;
  const GuestOptions options{.reboot = true};
  TestMachine machine("reboot", options);
  machine.start();
  machine.expect("up\n");
  machine.console().write("r");
  wait_for_silence(machine.machine());
  machine.machine().pause();
  machine.machine().save(directory.path() / "saved");
  TestMachine copy(Snapshot::open(directory.path() / "saved"), options);
  copy.start();
  copy.expect("up\n");
  machine.machine().resume();
  machine.expect("up\n");
}

TEST_CASE("a reset that cannot load the kernel any more ends the machine, saying so") {
  const TemporaryDirectory directory;
  const auto kernel = directory.path() / "kernel";
  std::filesystem::copy_file(guest_program("reboot"), kernel);
  TestMachine machine(kernel, {.reboot = true});
  machine.start();
  machine.expect("up\n");
  std::filesystem::remove(kernel);
  machine.console().write("r");
  const Outcome outcome = machine.wait();
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == End::Reason::host_error);
  CHECK_THAT(outcome.end->detail, Catch::Contains(kernel.string()));
}

}  // namespace
}  // namespace vireo::guest_tests
