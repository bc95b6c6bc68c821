#include "devices/legacy/ps2_keyboard.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <array>
#include <utility>

#include "devices/legacy/key_to_scancodes.h"

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

// A key that is another one while a modifier is down.
struct Alternate {
  uint16_t key, alternate;
  std::array<uint16_t, 2> modifiers;
};
constexpr std::array kAlternates{
    Alternate{KEY_SYSRQ, kAltPrint, {KEY_LEFTALT, KEY_RIGHTALT}},
    Alternate{KEY_PAUSE, kBreak, {KEY_LEFTCTRL, KEY_RIGHTCTRL}},
};

uint16_t key_of_alternate(uint16_t alternate) noexcept {
  const auto found = std::ranges::find(kAlternates, alternate, &Alternate::alternate);
  return found == kAlternates.end() ? alternate : found->key;
}

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

bool Ps2Keyboard::is_down(uint16_t key) const noexcept {
  return std::ranges::find(state_.down, key) != state_.down.end();
}

// A key that is down stays the one it was when it went down, whatever becomes of its modifiers.
uint16_t Ps2Keyboard::with_modifiers(uint16_t key, bool pressed) const noexcept {
  const auto found = std::ranges::find(kAlternates, key, &Alternate::key);
  if (found == kAlternates.end() || is_down(key)) return key;
  const bool modified = std::ranges::any_of(
      found->modifiers, [this](uint16_t modifier) { return is_down(modifier); });
  return is_down(found->alternate) || (pressed && modified) ? found->alternate : key;
}

bool Ps2Keyboard::key(uint16_t key, bool pressed) {
  key = with_modifiers(key, pressed);
  const std::vector<uint8_t> codes = codes_of(key, pressed);
  if (pressed ? codes.empty() : !is_down(key)) return true;
  if (pressed && (!state_.scanning || !has_room_for(codes.size()))) return false;
  std::erase(state_.down, key);
  if (pressed) state_.down.push_back(key);
  auto& reports = state_.output.reports;
  if (state_.scanning) reports.insert(reports.end(), codes.begin(), codes.end());
  return true;
}

void Ps2Keyboard::release_all_but(const std::set<uint16_t>& held) {
  const std::vector<uint16_t> down = state_.down;
  for (const uint16_t code : down)
    if (const uint16_t name = key_of_alternate(code); !held.contains(name)) key(name, false);
}

}  // namespace vireo::dev
