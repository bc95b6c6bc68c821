#include "devices/legacy/mc146818.h"

#include <algorithm>
#include <utility>

namespace vireo::dev {

namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kUpdateNotice = 244'000;     // UIP before the update (data sheet, "update cycle")
constexpr int64_t kFirstUpdate = kSecond / 2;  // after the divider was released
constexpr int64_t kDaySeconds = 24 * 60 * 60;
constexpr int64_t kEarliest = 1;  // 0 stands for no time
constexpr int64_t kLatest =
    sys_days(std::chrono::year(2200) / 1 / 1).time_since_epoch().count() * kDaySeconds * kSecond -
    1;

bool is_time(uint8_t index) noexcept {
  switch (index) {
    case Mc146818::kSeconds:
    case Mc146818::kMinutes:
    case Mc146818::kHours:
    case Mc146818::kWeekday:
    case Mc146818::kDay:
    case Mc146818::kMonth:
    case Mc146818::kYear:
    case Mc146818::kCentury:
      return true;
    default:
      return false;
  }
}

int64_t seconds_of(int64_t time) noexcept {
  return time / kSecond;
}

// How many periods of an oscillator have passed since the epoch; it is in step with the seconds.
int64_t periods(int64_t time, int64_t frequency) noexcept {
  return time / kSecond * frequency + time % kSecond * frequency / kSecond;
}

int64_t start_of_period(int64_t period, int64_t frequency) noexcept {
  const int64_t fraction = (period % frequency * kSecond + frequency - 1) / frequency;
  return period / frequency * kSecond + fraction;
}

}  // namespace

Mc146818::Mc146818(const State& state) : state_(state) {
  if (state.index >= kRamSize || (state.a & kUpdateInProgress) != 0 ||
      (state.flags & ~kInterrupts) != 0 || state.seen < 0 || state.seen > kLatest)
    throw StateError("the saved state of the real-time clock is one that none can have");
}

bool Mc146818::halted() const noexcept {
  return (state_.b & kSet) != 0 || (state_.a & kDividerReset) == kDividerReset;
}

int64_t Mc146818::guest_time(Time now) const noexcept {
  int64_t time = 0;
  if (__builtin_add_overflow(now.time_since_epoch().count(), state_.offset, &time))
    time = state_.offset < 0 ? kEarliest : kLatest;
  return std::clamp(time, kEarliest, kLatest);
}

// The flags know nothing of a time that was leapt over.
void Mc146818::set_guest_time(int64_t nanoseconds, Time now) noexcept {
  const int64_t host = now.time_since_epoch().count();
  if (__builtin_sub_overflow(nanoseconds, host, &state_.offset)) state_.offset = 0;
  state_.seen = guest_time(now);
}

bool Mc146818::update_is_near(Time now) const noexcept {
  return !halted() && guest_time(now) % kSecond >= kSecond - kUpdateNotice;
}

uint8_t Mc146818::read(Time now) {
  switch (state_.index) {
    case kA:
      return state_.a | (update_is_near(now) ? kUpdateInProgress : 0);
    case kB:
      return state_.b;
    case kC:
      return read_flags(now);
    case kD:
      return kValidRam;
    default:
      if (is_time(state_.index) && !halted()) fill_time_registers(now);
      return state_.ram[state_.index];
  }
}

void Mc146818::write(uint8_t value, Time now) {
  advance(now);
  switch (state_.index) {
    case kA:
      return write_control(value & ~kUpdateInProgress & 0xff, state_.b, now);
    case kB:
      return write_control(state_.a, value, now);
    case kC:
    case kD:
      return;
    default:
      if (is_time(state_.index))
        write_time(value, now);
      else
        state_.ram[state_.index] = value;
  }
}

uint8_t Mc146818::read_flags(Time now) {
  advance(now);
  const uint8_t irq = interrupt() ? kIrqFlag : 0;
  return std::exchange(state_.flags, uint8_t{0}) | irq;
}

// A running clock takes the new value into its time at once; what a halted one is given counts when
// it runs again.
void Mc146818::write_time(uint8_t value, Time now) {
  if (halted()) {
    state_.ram[state_.index] = value;
    return;
  }
  const int64_t fraction = guest_time(now) % kSecond;
  fill_time_registers(now);
  state_.ram[state_.index] = value;
  set_guest_time(time_in_registers() + fraction, now);
}

void Mc146818::write_control(uint8_t a, uint8_t b, Time now) {
  const bool was_halted = halted();
  const bool was_in_reset = (state_.a & kDividerReset) == kDividerReset;
  if (!was_halted) fill_time_registers(now);
  if (b & ~state_.b & kSet) b &= ~kUpdate & 0xff;  // as the pin list says of UIE
  state_.a = a;
  state_.b = b;
  if (!was_halted || halted()) return;
  const int64_t fraction = was_in_reset ? kFirstUpdate : guest_time(now) % kSecond;
  set_guest_time(time_in_registers() + fraction, now);
}

void Mc146818::advance(Time now) {
  if (halted()) return;
  const int64_t time = guest_time(now);
  const int64_t seen = std::exchange(state_.seen, time);
  if (seen == 0 || time <= seen) return;  // the host's clock may have been set back
  if (const int64_t hz = frequency(); hz != 0 && periods(time, hz) != periods(seen, hz))
    state_.flags |= kPeriodic;
  if (seconds_of(time) == seconds_of(seen)) return;
  state_.flags |= kUpdate;
  if (const auto alarm = next_alarm(seconds_of(seen)); alarm && *alarm <= seconds_of(time))
    state_.flags |= kAlarm;
}

std::optional<Mc146818::Nanoseconds> Mc146818::until_interrupt(Time now) const {
  if (halted() || interrupt()) return std::nullopt;
  const int64_t time = guest_time(now);
  int64_t next = kLatest;
  if (const int64_t hz = frequency(); hz != 0 && (state_.b & kPeriodic))
    next = std::min(next, start_of_period(periods(time, hz) + 1, hz));
  if (state_.b & kUpdate) next = std::min(next, (seconds_of(time) + 1) * kSecond);
  if (state_.b & kAlarm)
    if (const auto alarm = next_alarm(seconds_of(time))) next = std::min(next, *alarm * kSecond);
  if (next == kLatest) return std::nullopt;
  return Nanoseconds(next - time);
}

// The data sheet's table of periodic rates for a 32768 Hz crystal; 0: none.
int64_t Mc146818::frequency() const noexcept {
  const int rate = state_.a & kRate;
  if (rate == 0) return 0;
  return 32768 >> (rate <= 2 ? rate + 6 : rate - 1);
}

// The first second after `after` whose hour, minute and second the alarm registers match.
std::optional<int64_t> Mc146818::next_alarm(int64_t after) const {
  if (!alarm_possible()) return std::nullopt;
  for (int64_t t = after + 1; t <= after + kDaySeconds;) {
    if (!alarm_matches(kHoursAlarm, t / 3600 % 24))
      t = (t / 3600 + 1) * 3600;
    else if (!alarm_matches(kMinutesAlarm, t / 60 % 60))
      t = (t / 60 + 1) * 60;
    else if (!alarm_matches(kSecondsAlarm, t % 60))
      ++t;
    else
      return t;
  }
  return std::nullopt;
}

bool Mc146818::alarm_matches(Register alarm, int64_t value) const noexcept {
  const uint8_t wanted = state_.ram[alarm];
  if ((wanted & kAnyValue) == kAnyValue) return true;
  return wanted == (alarm == kHoursAlarm ? encode_hour(value) : encode(value));
}

// Bounds the search: what can not match at all would be looked for through every second of a day.
bool Mc146818::alarm_possible() const noexcept {
  const auto some_match = [this](Register alarm, int64_t values) {
    for (int64_t value = 0; value < values; ++value)
      if (alarm_matches(alarm, value)) return true;
    return false;
  };
  return some_match(kSecondsAlarm, 60) && some_match(kMinutesAlarm, 60) &&
         some_match(kHoursAlarm, 24);
}

uint8_t Mc146818::encode(int64_t value) const noexcept {
  if (state_.b & kBinary) return static_cast<uint8_t>(value);
  return static_cast<uint8_t>(value / 10 << 4 | value % 10);
}

int64_t Mc146818::decode(uint8_t value) const noexcept {
  if (state_.b & kBinary) return value;
  return (value >> 4) * 10 + (value & 0x0f);
}

uint8_t Mc146818::encode_hour(int64_t hour) const noexcept {
  if (state_.b & k24Hours) return encode(hour);
  const uint8_t twelve = encode(hour % 12 == 0 ? 12 : hour % 12);
  return twelve | (hour >= 12 ? kPm : 0);
}

int64_t Mc146818::decode_hour(uint8_t value) const noexcept {
  if (state_.b & k24Hours) return decode(value);
  return decode(value & ~kPm & 0xff) % 12 + ((value & kPm) ? 12 : 0);
}

void Mc146818::fill_time_registers(Time now) noexcept {
  const int64_t seconds = seconds_of(guest_time(now));
  const sys_days day{days(seconds / kDaySeconds)};
  const std::chrono::year_month_day date(day);
  const int year = static_cast<int>(date.year());
  state_.ram[kSeconds] = encode(seconds % 60);
  state_.ram[kMinutes] = encode(seconds / 60 % 60);
  state_.ram[kHours] = encode_hour(seconds / 3600 % 24);
  state_.ram[kWeekday] = encode(std::chrono::weekday(day).c_encoding() + 1);
  state_.ram[kDay] = encode(static_cast<unsigned>(date.day()));
  state_.ram[kMonth] = encode(static_cast<unsigned>(date.month()));
  state_.ram[kYear] = encode(year % 100);
  state_.ram[kCentury] = encode(year / 100);
}

// Total: whatever a guest wrote gives some time. Nanoseconds.
int64_t Mc146818::time_in_registers() const noexcept {
  const auto& ram = state_.ram;
  const int64_t year = decode(ram[kCentury]) * 100 + decode(ram[kYear]);
  const auto month = static_cast<unsigned>(std::clamp<int64_t>(decode(ram[kMonth]), 1, 12));
  const sys_days first =
      std::chrono::year(static_cast<int>(std::clamp<int64_t>(year, 1970, 2199))) /
      std::chrono::month(month) / 1;
  const int64_t day = first.time_since_epoch().count() + decode(ram[kDay]) - 1;
  const int64_t seconds = day * kDaySeconds + decode_hour(ram[kHours]) * 3600 +
                          decode(ram[kMinutes]) * 60 + decode(ram[kSeconds]);
  return std::clamp(seconds, int64_t{0}, kLatest / kSecond - 1) * kSecond;
}

}  // namespace vireo::dev
