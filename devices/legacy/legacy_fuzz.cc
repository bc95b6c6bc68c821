// Register accesses to the real-time clock and the keyboard controller, and keys and motions of its
// devices, in any order and at any time. Each four bytes are one step: what, register, value, and
// how the clock (or the mouse) moves. The first says whether there are such devices.
// Holds: nothing overflows or runs on, every state that can be reached is one that can be restored,
// the time read is a time, and an interrupt that is promised comes.
#include <cstdint>
#include <span>

#include "devices/legacy/i8042.h"
#include "devices/legacy/mc146818.h"
#include "vmm/base/error.h"

using namespace vireo;
using vireo::dev::I8042Chip;
using vireo::dev::Mc146818;
using vireo::dev::Ps2Devices;

namespace {

constexpr int64_t kDay = 24 * 3600 * int64_t{1'000'000'000};
constexpr int64_t kLast = INT64_MAX - 2 * kDay;

// From nanoseconds to decades, forth and, with the top bit, back.
Mc146818::Time moved(Mc146818::Time now, uint8_t how) {
  const int64_t by = int64_t{1} << (how & 0x7f) % 61;
  const int64_t time = now.time_since_epoch().count();
  if (how & 0x80) return Mc146818::Time(Mc146818::Nanoseconds(by > time ? 0 : time - by));
  return Mc146818::Time(Mc146818::Nanoseconds(by > kLast - time ? kLast : time + by));
}

void check_clock(const Mc146818& clock, Mc146818::Time now) {
  Mc146818 copy(clock.state());
  VMM_CHECK(copy.state() == clock.state(), "a state is restored as it was saved");
  copy.advance(now);
  const auto wait = copy.until_interrupt(now);
  if (!wait) return;
  VMM_CHECK(wait->count() > 0 && wait->count() <= kDay, "an interrupt is at most a day away");
  // Before 1970 the guest's time stands still, and interrupts wait for it.
  const bool before_1970 = copy.state().offset <= -now.time_since_epoch().count();
  copy.advance(now + *wait);
  VMM_CHECK(before_1970 || copy.interrupt(), "a promised interrupt comes");
}

void step_clock(Mc146818& clock, std::span<const uint8_t> input, Mc146818::Time now) {
  clock.select(input[1]);
  if (input[0] & 1)
    clock.write(input[2], now);
  else
    clock.read(now);
  check_clock(clock, now);
}

void step_controller(I8042Chip& chip, Ps2Devices devices, std::span<const uint8_t> input) {
  bool reset = false;
  switch (input[1] % 8) {
    case 0:
      reset = chip.write_command(input[2]);
      break;
    case 1:
      reset = chip.write_data(input[2]);
      break;
    case 2:
    case 3:
      chip.read_data();
      break;
    case 4:
    case 5:
      chip.key(input[2], (input[3] & 1) != 0);
      break;
    case 6:
      chip.move({.x = input[2] - 128, .y = input[3] * 1000, .wheel = input[3] % 3 - 1}, input[3]);
      break;
    default:
      chip.release_all_but({input[2], input[3]});
      break;
  }
  VMM_CHECK(!reset || (input[2] & 1) == 0, "only a low reset line resets");
  const bool full = (chip.read_status() & I8042Chip::kOutputFull) != 0;
  const I8042Chip::Lines lines = chip.lines();
  VMM_CHECK(full || (!lines.keyboard && !lines.mouse), "no interrupt without a byte");
  VMM_CHECK(I8042Chip(devices, chip.state()).state() == chip.state(),
            "a state is restored as it was saved");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kStep = 4;
  Mc146818 clock;
  const bool plugged = size != 0 && (data[0] & 4) != 0;
  const auto devices = plugged ? Ps2Devices::keyboard_and_mouse : Ps2Devices::none;
  I8042Chip controller(devices);
  Mc146818::Time now{std::chrono::seconds(1'700'000'000)};
  const std::span<const uint8_t> input(data, size);
  for (size_t at = 0; at + kStep <= size; at += kStep) {
    const auto bytes = input.subspan(at, kStep);
    now = moved(now, bytes[3]);
    if (bytes[0] & 2)
      step_controller(controller, devices, bytes);
    else
      step_clock(clock, bytes, now);
  }
  return 0;
}
