#include "devices/legacy/ps2_keyboard.h"

#include <algorithm>
#include <utility>

#include "devices/legacy/scancodes.h"

namespace vireo::dev {

namespace {

enum Command : uint8_t {
  kSetLights = 0xed,
  kEcho = 0xee,
  kScanSet = 0xf0,
  kIdentify = 0xf2,
  kTypematic = 0xf3,
  kEnable = 0xf4,
  kDisable = 0xf5,
  kDefaults = 0xf6,
  kAllTypematic = 0xf7,  // these seven matter in set 3 only
  kAllMakeBreak = 0xf8,
  kAllMake = 0xf9,
  kAllBoth = 0xfa,
  kKeyTypematic = 0xfb,
  kKeyMakeBreak = 0xfc,
  kKeyMake = 0xfd,
  kResend = 0xfe,
  kReset = 0xff,
};

constexpr size_t kLongestRelease = 3;
constexpr size_t kMaxReports = 1024;  // a pasted line fits
// As long as nobody has spoken to the keyboard: Linux does not use a controller that it cannot
// empty in 16 reads.
constexpr size_t kEarlyReports = 12;

}  // namespace

Ps2Keyboard::Ps2Keyboard(State state) : state_(std::move(state)) {
  const size_t owed = state_.down.size() * kLongestRelease;
  const bool possible = state_.output.possible(kMaxReports) &&
                        state_.output.reports.size() + owed <= kMaxReports &&
                        (state_.scan_set == 1 || state_.scan_set == 2);
  if (!possible) throw StateError("the saved state of the keyboard is one that none can be in");
}

// A command in the place of a parameter takes it.
void Ps2Keyboard::receive(uint8_t byte) {
  state_.spoken_to = true;
  const uint8_t pending = std::exchange(state_.pending_command, uint8_t{0});
  if (pending != 0 && byte < kSetLights)
    parameter(pending, byte);
  else
    command(byte);
}

void Ps2Keyboard::command(uint8_t command) {
  ps2::Output& output = state_.output;
  switch (command) {
    case kEcho:
      return output.answer({kEcho});
    case kIdentify:
      return output.answer({ps2::kAcknowledge, 0xab, 0x83});
    case kResend:
      return output.answer({output.last});
    case kSetLights:
    case kScanSet:
    case kTypematic:
    case kKeyTypematic:
    case kKeyMakeBreak:
    case kKeyMake:
      state_.pending_command = command;
      break;
    case kEnable:
      state_.scanning = true;
      break;
    case kDisable:
      set_defaults();
      state_.scanning = false;
      break;
    case kDefaults:
      set_defaults();
      break;
    case kAllTypematic:
    case kAllMakeBreak:
    case kAllMake:
    case kAllBoth:
      break;
    case kReset:
      state_ = {.spoken_to = true};
      return output.answer({ps2::kAcknowledge, ps2::kSelfTestPassed});
    default:
      return output.answer({ps2::kAgain});
  }
  output.answer({ps2::kAcknowledge});
}

void Ps2Keyboard::parameter(uint8_t command, uint8_t value) {
  ps2::Output& output = state_.output;
  if (command == kScanSet && value == 0) return output.answer({ps2::kAcknowledge, state_.scan_set});
  if (command == kScanSet && value > 2) return output.answer({ps2::kAgain});
  if (command == kScanSet) state_.scan_set = value;
  output.answer({ps2::kAcknowledge});
}

void Ps2Keyboard::set_defaults() {
  state_.scan_set = 2;
  state_.output.reports.clear();
}

// --- keys ---

std::vector<uint8_t> Ps2Keyboard::codes_of(uint16_t key, bool pressed) const {
  const auto codes = scancodes_of(key, pressed);
  return state_.scan_set == 1 ? translated_scancodes(codes) : codes;
}

// Beside what the release of all that is down will take.
bool Ps2Keyboard::has_room_for(size_t bytes) const noexcept {
  const size_t kept = (state_.down.size() + 1) * kLongestRelease;
  const size_t most = state_.spoken_to ? kMaxReports : kEarlyReports;
  return state_.output.reports.size() + bytes + kept <= most;
}

void Ps2Keyboard::key(uint16_t key, bool pressed) {
  const std::vector<uint8_t> codes = codes_of(key, pressed);
  const auto known = std::ranges::find(state_.down, key);
  const bool is_down = known != state_.down.end();
  if (pressed && (codes.empty() || !state_.scanning || !has_room_for(codes.size()))) return;
  if (!pressed && !is_down) return;
  if (!pressed) state_.down.erase(known);
  if (pressed && !is_down) state_.down.push_back(key);
  auto& reports = state_.output.reports;
  if (state_.scanning) reports.insert(reports.end(), codes.begin(), codes.end());
}

void Ps2Keyboard::release_all_but(const std::set<uint16_t>& held) {
  const std::vector<uint16_t> down = state_.down;
  for (const uint16_t code : down)
    if (!held.contains(code)) key(code, false);
}

}  // namespace vireo::dev
