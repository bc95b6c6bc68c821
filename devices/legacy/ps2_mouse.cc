#include "devices/legacy/ps2_mouse.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace vireo::dev {

namespace {

enum Command : uint8_t {
  kSingleScale = 0xe6,
  kDoubleScale = 0xe7,
  kResolution = 0xe8,
  kStatus = 0xe9,
  kStream = 0xea,
  kReadData = 0xeb,
  kEndWrap = 0xec,
  kWrap = 0xee,
  kRemote = 0xf0,
  kIdentify = 0xf2,
  kRate = 0xf3,
  kEnable = 0xf4,
  kDisable = 0xf5,
  kDefaults = 0xf6,
  kResend = 0xfe,
  kReset = 0xff,
};

constexpr uint8_t kAllButtons = 0x07;
constexpr uint8_t kPlainMouse = 0, kWheelMouse = 3;          // identifiers
constexpr std::array<uint8_t, 3> kWheelKnock{200, 100, 80};  // rates that ask for the wheel
constexpr uint8_t kAlways = 0x08, kNegativeX = 0x10, kNegativeY = 0x20;         // of a report
constexpr uint8_t kDoubleScaled = 0x10, kReporting = 0x20, kRemoteMode = 0x40;  // of the status
constexpr size_t kLongestReport = 4;
constexpr size_t kMaxReports = 8 * kLongestReport;  // the rest adds up: the pointer does not lag
constexpr int32_t kMostCounts = 255, kMostNotches = 7;  // in one report

bool in_reach(int32_t counts) {
  return counts >= -Ps2Mouse::kFarthest && counts <= Ps2Mouse::kFarthest;
}

int32_t moved(int32_t from, int32_t by) {
  const int64_t to = int64_t{from} + by;
  return static_cast<int32_t>(std::clamp<int64_t>(to, -Ps2Mouse::kFarthest, Ps2Mouse::kFarthest));
}

// Takes from `counts` what one report can tell.
int32_t take(int32_t& counts, int32_t most) {
  const int32_t part = std::clamp(counts, -most, most);
  counts -= part;
  return part;
}

}  // namespace

Ps2Mouse::Ps2Mouse(State state) : state_(std::move(state)) {
  const bool possible = state_.output.possible(kMaxReports) && in_reach(state_.x) &&
                        in_reach(state_.y) && in_reach(state_.wheel) &&
                        state_.buttons <= kAllButtons && state_.told_buttons <= kAllButtons &&
                        state_.resolution <= 3;
  if (!possible) throw StateError("the saved state of the mouse is one that none can be in");
}

void Ps2Mouse::receive(uint8_t byte) {
  if (state_.wrap && byte != kReset && byte != kEndWrap) return state_.output.answer({byte});
  if (const uint8_t pending = std::exchange(state_.pending_command, uint8_t{0}))
    parameter(pending, byte);
  else
    command(byte);
}

void Ps2Mouse::command(uint8_t command) {
  ps2::Output& output = state_.output;
  switch (command) {
    case kReset:
      state_ = {.buttons = state_.buttons};
      return output.answer({ps2::kAcknowledge, ps2::kSelfTestPassed, kPlainMouse});
    case kIdentify:
      return output.answer({ps2::kAcknowledge, state_.has_wheel ? kWheelMouse : kPlainMouse});
    case kStatus:
      return output.answer({ps2::kAcknowledge, status(), state_.resolution, state_.rate});
    case kResend:
      return output.answer({output.last});
    case kReadData:
      output.answer({ps2::kAcknowledge});
      return report();
    case kResolution:
    case kRate:
      state_.pending_command = command;
      break;
    case kSingleScale:
    case kDoubleScale:
      state_.double_scale = command == kDoubleScale;
      break;
    case kStream:
    case kRemote:
      state_.remote = command == kRemote;
      break;
    case kWrap:
    case kEndWrap:
      state_.wrap = command == kWrap;
      break;
    case kEnable:
    case kDisable:
      state_.reporting = command == kEnable;
      output.reports.clear();
      break;
    case kDefaults:
      set_defaults();
      break;
    default:
      return output.answer({ps2::kAgain});
  }
  output.answer({ps2::kAcknowledge});
}

void Ps2Mouse::parameter(uint8_t command, uint8_t value) {
  if (command == kResolution && value > 3) return state_.output.answer({ps2::kAgain});
  if (command == kResolution) state_.resolution = value;
  if (command == kRate) {
    state_.rate = value;
    state_.rates = {state_.rates[1], state_.rates[2], value};
    state_.has_wheel |= state_.rates == kWheelKnock;
  }
  state_.output.answer({ps2::kAcknowledge});
}

void Ps2Mouse::set_defaults() {
  state_.reporting = state_.remote = state_.double_scale = false;
  state_.resolution = 2;
  state_.rate = 100;
  state_.x = state_.y = state_.wheel = 0;
  state_.output.reports.clear();
}

uint8_t Ps2Mouse::status() const noexcept {
  const auto bit = [](bool on, int value) { return on ? value : 0; };
  return static_cast<uint8_t>(
      bit((state_.buttons & kLeft) != 0, 4) | bit((state_.buttons & kMiddle) != 0, 2) |
      bit((state_.buttons & kRight) != 0, 1) | bit(state_.double_scale, kDoubleScaled) |
      bit(state_.reporting, kReporting) | bit(state_.remote, kRemoteMode));
}

// --- reports ---

std::optional<uint8_t> Ps2Mouse::send() {
  const auto byte = state_.output.take();
  report_changes();  // there may be room now
  return byte;
}

void Ps2Mouse::move(const Ps2Motion& motion, uint8_t buttons) {
  state_.buttons = buttons & kAllButtons;
  if (!state_.reporting && !state_.remote) return;
  state_.x = moved(state_.x, motion.x);
  state_.y = moved(state_.y, motion.y);
  if (state_.has_wheel) state_.wheel = moved(state_.wheel, motion.wheel);
  report_changes();
}

void Ps2Mouse::report_changes() {
  if (!state_.reporting || state_.remote) return;
  const auto changed = [this] {
    return state_.buttons != state_.told_buttons || state_.x != 0 || state_.y != 0 ||
           state_.wheel != 0;
  };
  while (changed() && state_.output.reports.size() + kLongestReport <= kMaxReports) report();
}

void Ps2Mouse::report() {
  if (state_.output.reports.size() + kLongestReport > kMaxReports) return;
  const int32_t x = take(state_.x, kMostCounts), y = take(state_.y, kMostCounts);
  const int32_t wheel = take(state_.wheel, kMostNotches);
  state_.told_buttons = state_.buttons;
  auto& reports = state_.output.reports;
  reports.push_back(static_cast<uint8_t>(kAlways | state_.buttons | (x < 0 ? kNegativeX : 0) |
                                         (y < 0 ? kNegativeY : 0)));
  reports.push_back(static_cast<uint8_t>(x));
  reports.push_back(static_cast<uint8_t>(y));
  if (state_.has_wheel) reports.push_back(static_cast<uint8_t>(wheel));
}

}  // namespace vireo::dev
