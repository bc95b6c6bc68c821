#include "devices/legacy/rtc.h"

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"

using namespace vireo;
using namespace vireo::dev;
using namespace std::chrono_literals;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;
using Chip = Mc146818;

namespace {

struct Fixture : FakeEnv {
  Chip::Time wall = std::chrono::sys_days(std::chrono::year(2024) / 2 / 10);
  Rtc rtc;

  explicit Fixture(const Rtc::State& state = {})
      : rtc(
            "rtc", env, [this] { return wall; }, state) {}
  uint8_t get(uint8_t reg) {
    out(layout::kPortRtcIndex, reg);
    return in(layout::kPortRtcData);
  }
  void set(uint8_t reg, uint8_t value) {
    out(layout::kPortRtcIndex, reg);
    out(layout::kPortRtcData, value);
  }
  void pass(std::chrono::nanoseconds time) {
    wall += time;
    turns.advance(time);
  }
  uint64_t edges() { return lines.take(layout::kGsiRtc); }
};

}  // namespace

TEST_CASE("the clock is where the platform's tables say") {
  Fixture machine;
  REQUIRE(machine.platform.acpi.devices().size() == 1);
  REQUIRE(machine.platform.acpi.devices()[0].hid == "PNP0B00");
  REQUIRE(machine.platform.acpi.devices()[0].address == 0x70);
  REQUIRE(machine.platform.acpi.devices()[0].gsi == 8);
  REQUIRE(machine.get(Chip::kYear) == 0x24);
  REQUIRE(machine.in(layout::kPortRtcIndex) == 0xff);
}

TEST_CASE("the clock saves what it was given, and resets to power-on") {
  Rtc::State state;
  state.ram[0x40] = 7;
  state.b = Chip::k24Hours | Chip::kAlarm;
  state.flags = Chip::kAlarm;
  Fixture machine(state);
  REQUIRE(state_of(machine.rtc) == state);
  machine.rtc.reset();
  REQUIRE(state_of(machine.rtc) == Rtc::State{});
}

TEST_CASE("a clock without interrupts leaves the loop alone") {
  Fixture machine;
  machine.rtc.start();
  machine.turns.settle();
  machine.set(0x40, 1);
  machine.get(Chip::kSeconds);
  REQUIRE_FALSE(machine.turns.loop().step());
}

TEST_CASE("update interrupts arrive once a second while they are read") {
  Fixture machine;
  machine.rtc.start();
  machine.get(Chip::kC);
  machine.set(Chip::kB, Chip::k24Hours | Chip::kUpdate);
  machine.turns.settle();
  for (int second = 0; second < 3; ++second) {
    machine.pass(999ms);
    REQUIRE(machine.edges() == 0);
    machine.pass(1ms);
    REQUIRE(machine.edges() == 1);
    REQUIRE(machine.get(Chip::kC) == (Chip::kIrqFlag | Chip::kUpdate | Chip::kPeriodic));
    machine.turns.settle();
  }
  machine.pass(1s);
  machine.pass(10s);  // unread: no further edge
  REQUIRE(machine.edges() == 1);
}

TEST_CASE("an alarm follows the host's clock when that is set") {
  Fixture machine;
  machine.rtc.start();
  machine.get(Chip::kC);
  machine.set(Chip::kHoursAlarm, 0x10);
  machine.set(Chip::kB, Chip::k24Hours | Chip::kAlarm);
  machine.turns.settle();
  machine.wall += 10h;  // leaps; the loop's clock does not
  machine.turns.advance(2min);
  REQUIRE(machine.edges() == 1);
}

TEST_CASE("a stopped clock does not interrupt, a started one makes up for it") {
  Fixture machine;
  machine.rtc.start();
  machine.get(Chip::kC);
  machine.set(Chip::kB, Chip::k24Hours | Chip::kUpdate);
  machine.turns.settle();
  machine.turns.run(machine.rtc.stop());
  machine.turns.run(machine.rtc.stop());
  machine.pass(5s);
  REQUIRE(machine.edges() == 0);

  machine.rtc.start();
  machine.pass(1s);
  REQUIRE(machine.edges() == 1);
}

TEST_CASE("a restored clock sends the edge that its guest waits for") {
  Rtc::State state;
  state.b = Chip::k24Hours | Chip::kAlarm;
  state.flags = Chip::kAlarm;
  Fixture machine(state);
  machine.rtc.start();
  REQUIRE(machine.edges() == 1);
}
