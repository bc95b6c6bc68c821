#include "devices/legacy/mc146818.h"

#include <catch2/catch.hpp>

#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using namespace std::chrono_literals;
using Chip = Mc146818;

namespace {

// Saturday, 2024-02-10 21:34:56.
constexpr Chip::Time kStart =
    std::chrono::sys_days(std::chrono::year(2024) / 2 / 10) + 21h + 34min + 56s;

uint8_t get(Chip& chip, uint8_t reg, Chip::Time now) {
  chip.select(reg);
  return chip.read(now);
}

void set(Chip& chip, uint8_t reg, uint8_t value, Chip::Time now) {
  chip.select(reg);
  chip.write(value, now);
}

std::vector<int> time_of(Chip& chip, Chip::Time now) {
  std::vector<int> values;
  for (const uint8_t reg : {Chip::kCentury, Chip::kYear, Chip::kMonth, Chip::kDay, Chip::kHours,
                            Chip::kMinutes, Chip::kSeconds, Chip::kWeekday})
    values.push_back(get(chip, reg, now));
  return values;
}

void set_time(Chip& chip, const std::vector<int>& values, Chip::Time now) {
  const std::vector<uint8_t> registers{Chip::kCentury, Chip::kYear,    Chip::kMonth,  Chip::kDay,
                                       Chip::kHours,   Chip::kMinutes, Chip::kSeconds};
  for (size_t i = 0; i < registers.size(); ++i)
    set(chip, registers[i], static_cast<uint8_t>(values[i]), now);
}

// A clock whose flags start to count now.
Chip looked_at(Chip::Time now) {
  Chip chip;
  get(chip, Chip::kC, now);
  return chip;
}

Chip::State busy_state() {
  Chip chip = looked_at(kStart);
  set(chip, 0x40, 0x77, kStart);
  set(chip, Chip::kSecondsAlarm, Chip::kAnyValue, kStart);
  set(chip, Chip::kB, Chip::k24Hours | Chip::kInterrupts, kStart);
  set(chip, Chip::kYear, 0x99, kStart);
  chip.advance(kStart + 2s);
  return chip.state();
}

}  // namespace

TEST_CASE("a real-time clock keeps the state contract") {
  vireo::testing::check_state_contract<Chip::State>({{}, busy_state()});
  REQUIRE(busy_state().flags != 0);
  REQUIRE(Chip(busy_state()).state() == busy_state());
}

TEST_CASE("a real-time clock refuses a state that none can have") {
  Chip::State state;
  SECTION("register") {
    state.index = 128;
  }
  SECTION("flags") {
    state.flags = 1;
  }
  SECTION("update in progress") {
    state.a = 0x80;
  }
  SECTION("past") {
    state.seen = -1;
  }
  SECTION("future") {
    state.seen = INT64_MAX;
  }
  REQUIRE_THROWS_AS(Chip(state), StateError);
}

TEST_CASE("the clock shows the host's time in the form that B asks for") {
  Chip chip;
  REQUIRE(time_of(chip, kStart) ==
          std::vector<int>{0x20, 0x24, 0x02, 0x10, 0x21, 0x34, 0x56, 0x07});
  set(chip, Chip::kB, Chip::k24Hours | Chip::kBinary, kStart);
  REQUIRE(time_of(chip, kStart) == std::vector<int>{20, 24, 2, 10, 21, 34, 56, 7});
  set(chip, Chip::kB, 0, kStart);
  REQUIRE(get(chip, Chip::kHours, kStart) == (Chip::kPm | 0x09));
  REQUIRE(get(chip, Chip::kHours, kStart - 21h) == 0x12);
  REQUIRE(get(chip, Chip::kHours, kStart - 9h) == (Chip::kPm | 0x12));
  REQUIRE(get(chip, Chip::kDay, kStart + 24h * 20) == 0x01);  // a leap year
  REQUIRE(get(chip, Chip::kMonth, kStart + 24h * 20) == 0x03);
}

TEST_CASE("the update is announced and never seen half done") {
  Chip chip;
  REQUIRE(get(chip, Chip::kA, kStart + 999'755us) == 0x26);
  REQUIRE(get(chip, Chip::kA, kStart + 999'757us) == (0x26 | Chip::kUpdateInProgress));
  REQUIRE(get(chip, Chip::kSeconds, kStart + 999'999us) == 0x56);
  REQUIRE(get(chip, Chip::kSeconds, kStart + 1s) == 0x57);
  REQUIRE(get(chip, Chip::kA, kStart + 1s) == 0x26);
}

TEST_CASE("Linux sets the time") {
  Chip chip;
  set(chip, Chip::kB, Chip::k24Hours | Chip::kSet, kStart);
  set(chip, Chip::kA, 0x76, kStart);
  set_time(chip, {0x20, 0x31, 0x12, 0x31, 0x23, 0x59, 0x58}, kStart + 3ms);
  REQUIRE(get(chip, Chip::kSeconds, kStart + 5s) == 0x58);  // halted
  REQUIRE((get(chip, Chip::kA, kStart + 5s - 1us) & Chip::kUpdateInProgress) == 0);
  set(chip, Chip::kB, Chip::k24Hours, kStart + 6s);
  set(chip, Chip::kA, 0x26, kStart + 7s);
  // The first update comes half a second after the divider was released.
  REQUIRE(get(chip, Chip::kSeconds, kStart + 7s + 499ms) == 0x58);
  REQUIRE(time_of(chip, kStart + 7s + 1500ms) ==
          std::vector<int>{0x20, 0x32, 0x01, 0x01, 0x00, 0x00, 0x00, 0x05});
}

TEST_CASE("a clock that is only held keeps its fraction of a second") {
  Chip chip;
  set(chip, Chip::kB, Chip::k24Hours | Chip::kSet, kStart + 900ms);
  set(chip, Chip::kSeconds, 0x10, kStart + 900ms);
  set(chip, Chip::kB, Chip::k24Hours, kStart + 950ms);
  REQUIRE(get(chip, Chip::kSeconds, kStart + 999ms) == 0x10);
  REQUIRE(get(chip, Chip::kSeconds, kStart + 1s) == 0x11);
}

TEST_CASE("a running clock takes a new value at once") {
  Chip chip;
  set(chip, Chip::kHours, 0x03, kStart);
  REQUIRE(get(chip, Chip::kHours, kStart) == 0x03);
  REQUIRE(get(chip, Chip::kMinutes, kStart + 1min) == 0x35);
}

TEST_CASE("whatever is written as a time gives some time") {
  for (const int value : {0x00, 0x0f, 0x5a, 0x99, 0xff}) {
    for (const int mode : {0, int{Chip::kBinary}, int{Chip::k24Hours}}) {
      Chip chip;
      set(chip, Chip::kB, static_cast<uint8_t>(mode | Chip::kSet), kStart);
      set_time(chip, std::vector<int>(7, value), kStart);
      set(chip, Chip::kB, static_cast<uint8_t>(mode | Chip::kBinary | Chip::k24Hours), kStart);
      REQUIRE(get(chip, Chip::kMonth, kStart) - 1u < 12u);
      REQUIRE(get(chip, Chip::kDay, kStart) - 1u < 31u);
      REQUIRE(get(chip, Chip::kSeconds, kStart) < 60u);
    }
  }
}

TEST_CASE("the alarm") {
  Chip chip = looked_at(kStart);
  set(chip, Chip::kHoursAlarm, 0x22, kStart);
  set(chip, Chip::kMinutesAlarm, 0x00, kStart);
  set(chip, Chip::kSecondsAlarm, 0x10, kStart);
  set(chip, Chip::kB, Chip::k24Hours | Chip::kAlarm, kStart);

  SECTION("interrupts at its time") {
    REQUIRE(chip.until_interrupt(kStart) == 25min + 14s);
    chip.advance(kStart + 25min + 13s);
    REQUIRE_FALSE(chip.interrupt());
    chip.advance(kStart + 25min + 14s);
    REQUIRE(chip.interrupt());
    REQUIRE_FALSE(chip.until_interrupt(kStart + 25min + 14s));
    REQUIRE(get(chip, Chip::kC, kStart + 25min + 14s) ==
            (Chip::kIrqFlag | Chip::kAlarm | Chip::kUpdate | Chip::kPeriodic));
    REQUIRE_FALSE(chip.interrupt());
    REQUIRE(chip.until_interrupt(kStart + 25min + 14s) == 24h);
  }
  SECTION("is not missed by a host that looks late") {
    chip.advance(kStart + 10h);
    REQUIRE(chip.interrupt());
  }
  SECTION("matches every value where it is told to") {
    set(chip, Chip::kHoursAlarm, 0xff, kStart);
    set(chip, Chip::kMinutesAlarm, Chip::kAnyValue, kStart);
    REQUIRE(chip.until_interrupt(kStart) == 14s);
  }
  SECTION("never comes when it cannot") {
    set(chip, Chip::kSecondsAlarm, 0x7f, kStart);
    REQUIRE_FALSE(chip.until_interrupt(kStart));
    chip.advance(kStart + 48h);
    REQUIRE_FALSE(chip.interrupt());
  }
  SECTION("is not made up when the host's clock is set back") {
    chip.advance(kStart - 24h);
    REQUIRE_FALSE(chip.interrupt());
  }
}

TEST_CASE("the update interrupt comes every second") {
  Chip chip = looked_at(kStart);
  set(chip, Chip::kB, Chip::k24Hours | Chip::kUpdate, kStart + 300ms);
  REQUIRE(chip.until_interrupt(kStart + 300ms) == 700ms);
  chip.advance(kStart + 1s);
  REQUIRE(chip.interrupt());
  get(chip, Chip::kC, kStart + 1s);
  REQUIRE(chip.until_interrupt(kStart + 1s) == 1s);
  // Holding the clock disables it.
  set(chip, Chip::kB, Chip::k24Hours | Chip::kUpdate | Chip::kSet, kStart + 1s);
  REQUIRE(get(chip, Chip::kB, kStart + 1s) == (Chip::k24Hours | Chip::kSet));
}

TEST_CASE("the periodic interrupt keeps to its rate") {
  Chip chip = looked_at(kStart);
  set(chip, Chip::kB, Chip::k24Hours | Chip::kPeriodic, kStart);
  REQUIRE(chip.until_interrupt(kStart) == 976'563ns);  // 1024 Hz
  set(chip, Chip::kA, 0x2f, kStart);
  REQUIRE(chip.until_interrupt(kStart + 100ms) == 400ms);  // 2 Hz
  set(chip, Chip::kA, 0x21, kStart);
  REQUIRE(chip.until_interrupt(kStart) == 3'906'250ns);  // 256 Hz
  set(chip, Chip::kA, 0x20, kStart);
  REQUIRE_FALSE(chip.until_interrupt(kStart));

  set(chip, Chip::kA, 0x26, kStart);
  int interrupts = 0;
  Chip::Time now = kStart;
  while (now < kStart + 1s) {
    now += chip.until_interrupt(now).value();
    chip.advance(now);
    REQUIRE(chip.interrupt());
    get(chip, Chip::kC, now);
    ++interrupts;
  }
  REQUIRE(interrupts == 1024);
}

TEST_CASE("a flag that is up interrupts when it is enabled") {
  Chip chip = looked_at(kStart);
  chip.advance(kStart + 1s);
  REQUIRE_FALSE(chip.interrupt());
  set(chip, Chip::kB, Chip::k24Hours | Chip::kUpdate, kStart + 1s);
  REQUIRE(chip.interrupt());
}

TEST_CASE("a clock that was never looked at has nothing to tell") {
  Chip chip;
  REQUIRE(get(chip, Chip::kC, kStart) == 0);
  REQUIRE(get(chip, Chip::kD, kStart) == Chip::kValidRam);
}

TEST_CASE("the RAM keeps what is written, the read-only registers do not") {
  Chip chip;
  for (uint8_t reg = 0x0e; reg < 0x80; ++reg)
    if (reg != Chip::kCentury) set(chip, reg, static_cast<uint8_t>(reg ^ 0x5a), kStart);
  for (uint8_t reg = 0x0e; reg < 0x80; ++reg)
    if (reg != Chip::kCentury) REQUIRE(get(chip, reg, kStart) == (reg ^ 0x5a));
  set(chip, Chip::kD, 0x00, kStart);
  set(chip, Chip::kC, 0xff, kStart);
  REQUIRE(get(chip, Chip::kD, kStart) == Chip::kValidRam);
  REQUIRE(get(chip, Chip::kC, kStart) == 0);
  chip.select(0x80 | Chip::kD);  // bit 7 is the NMI mask
  REQUIRE(chip.read(kStart) == Chip::kValidRam);
}
