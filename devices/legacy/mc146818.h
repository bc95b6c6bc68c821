// The MC146818 real-time clock with 128 bytes of RAM, as a pure model: it is told the host's time
// at every access, nothing runs by itself. Reference: the MC146818A data sheet.
//
// Thread: none of its own; the board serialises. Owns its State and nothing else.
// The guest's time is the host's wall clock plus an offset kept in the State, so that a machine
// that is restored later has the right time. It lies between 1970 and 2199. Register 0x32 holds the
// century.
//
// Where it differs from silicon: the update takes no time (UIP announces it 244 us before, as
// always, and the time stands still while UIP was read clear), and a host that looks late delivers
// one periodic interrupt for all that were due.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "vmm/base/state.h"

namespace vireo::dev {

class Mc146818 {
 public:
  static constexpr size_t kRamSize = 128;

  enum Register : uint8_t {
    kSeconds = 0,
    kSecondsAlarm = 1,
    kMinutes = 2,
    kMinutesAlarm = 3,
    kHours = 4,
    kHoursAlarm = 5,
    kWeekday = 6,  // Sunday is 1
    kDay = 7,
    kMonth = 8,
    kYear = 9,
    kA = 10,
    kB = 11,
    kC = 12,
    kD = 13,
    kCentury = 0x32
  };
  enum BitsA : uint8_t { kUpdateInProgress = 0x80, kDividerReset = 0x60, kRate = 0x0f };
  enum BitsB : uint8_t {
    kSet = 0x80,
    kPeriodic = 0x40,  // this and the next two: enable bits in B, flags in C
    kAlarm = 0x20,
    kUpdate = 0x10,
    kBinary = 0x04,
    k24Hours = 0x02
  };
  static constexpr uint8_t kInterrupts = kPeriodic | kAlarm | kUpdate;
  static constexpr uint8_t kIrqFlag = 0x80;   // register C
  static constexpr uint8_t kValidRam = 0x80;  // register D
  static constexpr uint8_t kAnyValue = 0xc0;  // in an alarm register: every value matches
  static constexpr uint8_t kPm = 0x80;        // in the hours of a 12-hour clock

  using Nanoseconds = std::chrono::nanoseconds;
  using Time = std::chrono::sys_time<Nanoseconds>;  // of the host

  struct State {
    static constexpr StateTag kTag{"mc146818", 1};
    uint8_t index = 0;  // the register that the data port shows
    uint8_t a = 0x26;   // 32768 Hz crystal, periodic rate 1024 Hz
    uint8_t b = k24Hours;
    uint8_t flags = 0;                    // register C without IRQF
    std::array<uint8_t, kRamSize> ram{};  // holds the time only while the clock is halted
    int64_t offset = 0;                   // nanoseconds: the guest's time minus the host's
    int64_t seen = 0;  // flags tell what happened up to this guest time in ns; 0: not looked yet
    static void fields(auto& s, auto& archive) {
      archive("index", s.index)("a", s.a)("b", s.b)("flags", s.flags)("ram", s.ram);
      archive("offset", s.offset)("seen", s.seen);
    }
    bool operator==(const State&) const = default;
  };

  Mc146818() = default;
  explicit Mc146818(const State& state);  // throws StateError on what no chip can hold
  const State& state() const noexcept { return state_; }

  void select(uint8_t index) noexcept { state_.index = index % kRamSize; }
  uint8_t read(Time now);
  void write(uint8_t value, Time now);

  // Brings the flags up to date.
  void advance(Time now);
  // The IRQ output, as of the last advance(), read() or write().
  bool interrupt() const noexcept { return (state_.flags & state_.b & kInterrupts) != 0; }
  // How long until the IRQ output rises if nobody touches the chip before; nothing: never, or it is
  // high already.
  std::optional<Nanoseconds> until_interrupt(Time now) const;

 private:
  bool halted() const noexcept;
  bool update_is_near(Time now) const noexcept;
  int64_t guest_time(Time now) const noexcept;
  void set_guest_time(int64_t nanoseconds, Time now) noexcept;
  int64_t frequency() const noexcept;
  std::optional<int64_t> next_alarm(int64_t after) const;
  bool alarm_matches(Register alarm, int64_t value) const noexcept;
  bool alarm_possible() const noexcept;

  uint8_t encode(int64_t value) const noexcept;
  uint8_t encode_hour(int64_t hour) const noexcept;
  int64_t decode(uint8_t value) const noexcept;
  int64_t decode_hour(uint8_t value) const noexcept;
  void fill_time_registers(Time now) noexcept;
  int64_t time_in_registers() const noexcept;

  uint8_t read_flags(Time now);
  void write_time(uint8_t value, Time now);
  void write_control(uint8_t a, uint8_t b, Time now);

  State state_;
};

}  // namespace vireo::dev
