#include "devices/legacy/acpi_power.h"

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;

namespace {

constexpr uint16_t kPort = layout::kPortAcpiPower;

struct Fixture : FakeEnv {
  AcpiPower power;
  explicit Fixture(AcpiPower::State state = {}) : power("power", env, state) {}
  uint64_t edges() { return lines.take(layout::kGsiPower); }
};

using Requests = std::vector<std::string>;

}  // namespace

TEST_CASE("power management keeps the state contract") {
  const AcpiPower::State pressed{.events = AcpiPower::kPowerButton};
  vireo::testing::check_state_contract<AcpiPower::State>({{}, pressed});
  Fixture machine(pressed);
  REQUIRE(state_of(machine.power) == pressed);
  machine.power.reset();
  REQUIRE(state_of(machine.power) == AcpiPower::State{});
  machine.turns.run(machine.power.stop());
  machine.turns.run(machine.power.stop());
}

TEST_CASE("power management is where the platform's tables say") {
  Fixture machine;
  const auto devices = machine.platform.acpi.devices();
  REQUIRE(devices.size() == 2);
  REQUIRE(devices[0].hid == "PNP0C0C");
  REQUIRE(devices[1].hid == "ACPI0013");
  REQUIRE(devices[1].address == 0x600);
  REQUIRE(devices[1].length == 4);
  REQUIRE(devices[1].gsi == 9);
  REQUIRE(machine.platform.acpi.power()->reset == 0x602);
}

TEST_CASE("S5 with the enable bit switches off, nothing else does") {
  Fixture machine;
  for (int value = 0; value < 256; ++value)
    if (value >> 2 != (0x20 >> 2 | 5)) machine.out(kPort, static_cast<uint8_t>(value & ~0x20));
  machine.out(kPort, 0x20 | 3 << 2);
  machine.out(kPort + 1, 0x20 | 5 << 2);
  REQUIRE(machine.control.requests.empty());
  machine.out(kPort, 0x20 | 5 << 2);
  REQUIRE(machine.control.requests == Requests{"power-off"});
}

TEST_CASE("the reset register resets with its value only") {
  Fixture machine;
  machine.out(kPort + 2, 0);
  machine.out(kPort + 2, 2);
  REQUIRE(machine.control.requests.empty());
  machine.out(kPort + 2, 1);
  REQUIRE(machine.control.requests == Requests{"reset"});
}

TEST_CASE("the power button is told once, with an edge") {
  Fixture machine;
  REQUIRE(machine.in(kPort + 3) == 0);
  machine.power.press_power_button();
  REQUIRE(machine.edges() == 1);
  machine.out(kPort + 3, 0xff);
  REQUIRE(machine.in(kPort + 3) == AcpiPower::kPowerButton);
  REQUIRE(machine.in(kPort + 3) == 0);
  // A press that the guest never read does not keep the next one from coming through.
  machine.power.press_power_button();
  machine.power.press_power_button();
  REQUIRE(machine.edges() == 2);
}

TEST_CASE("a restored press sends its edge") {
  Fixture machine(AcpiPower::State{.events = AcpiPower::kPowerButton});
  machine.power.start();
  REQUIRE(machine.edges() == 1);
  Fixture idle;
  idle.power.start();
  REQUIRE(idle.edges() == 0);
}

TEST_CASE("the other registers read as zero") {
  Fixture machine;
  machine.power.press_power_button();
  for (uint16_t offset = 0; offset < 3; ++offset) REQUIRE(machine.in(kPort + offset) == 0);
  REQUIRE(machine.in(kPort + 3) == AcpiPower::kPowerButton);
}
