#include "devices/legacy/key_to_scancodes.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace vireo::dev {

namespace {

constexpr uint8_t kExtended = 0xe0, kPausePrefix = 0xe1, kRelease = 0xf0, kSet1Release = 0x80;
constexpr uint8_t kF7 = 0x83, kSysRq = 0x84;  // of set 2, the only ones above 0x7f

// By code of set 2 (IBM PC/AT Technical Reference, section 4; the table of the controller's ROM).
constexpr std::array<uint8_t, 128> kSet1{
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54};

struct Code {
  uint16_t key;
  uint8_t set2;
};

// The keys whose number in Linux is not their code of set 1.
constexpr std::array kPlain{
    Code{KEY_F7, kF7},
    Code{kAltPrint, kSysRq},
    Code{KEY_ZENKAKUHANKAKU, 0x5f},
    Code{KEY_RO, 0x51},
    Code{KEY_KATAKANA, 0x63},
    Code{KEY_HIRAGANA, 0x62},
    Code{KEY_HENKAN, 0x64},
    Code{KEY_KATAKANAHIRAGANA, 0x13},
    Code{KEY_MUHENKAN, 0x67},
    Code{KEY_KPJPCOMMA, 0x27},
    Code{KEY_KPEQUAL, 0x0f},
    Code{KEY_KPCOMMA, 0x6d},
    Code{KEY_YEN, 0x6a},
    Code{KEY_F13, 0x2f},
    Code{KEY_F14, 0x37},
    Code{KEY_F15, 0x3f},
};

// Those that came with later keyboards, and have the prefix E0.
constexpr std::array kWithPrefix{
    Code{KEY_KPENTER, 0x5a},   Code{KEY_RIGHTCTRL, 0x14},    Code{KEY_KPSLASH, 0x4a},
    Code{KEY_SYSRQ, 0x7c},     Code{KEY_RIGHTALT, 0x11},     Code{KEY_HOME, 0x6c},
    Code{KEY_UP, 0x75},        Code{KEY_PAGEUP, 0x7d},       Code{KEY_LEFT, 0x6b},
    Code{KEY_RIGHT, 0x74},     Code{KEY_END, 0x69},          Code{KEY_DOWN, 0x72},
    Code{KEY_PAGEDOWN, 0x7a},  Code{KEY_INSERT, 0x70},       Code{KEY_DELETE, 0x71},
    Code{KEY_MACRO, 0x6f},     Code{KEY_MUTE, 0x23},         Code{KEY_VOLUMEDOWN, 0x21},
    Code{KEY_VOLUMEUP, 0x32},  Code{KEY_POWER, 0x37},        Code{KEY_LEFTMETA, 0x1f},
    Code{KEY_RIGHTMETA, 0x27}, Code{KEY_COMPOSE, 0x2f},      Code{KEY_STOP, 0x28},
    Code{KEY_CALC, 0x2b},      Code{KEY_SLEEP, 0x3f},        Code{KEY_WAKEUP, 0x5e},
    Code{KEY_MAIL, 0x48},      Code{KEY_BOOKMARKS, 0x18},    Code{KEY_COMPUTER, 0x40},
    Code{KEY_BACK, 0x38},      Code{KEY_FORWARD, 0x30},      Code{KEY_NEXTSONG, 0x4d},
    Code{KEY_PLAYPAUSE, 0x34}, Code{KEY_PREVIOUSSONG, 0x15}, Code{KEY_STOPCD, 0x3b},
    Code{KEY_HOMEPAGE, 0x3a},  Code{KEY_REFRESH, 0x20},      Code{KEY_SEARCH, 0x10},
    Code{KEY_MEDIA, 0x50},
};

template <size_t N>
std::optional<uint8_t> find(const std::array<Code, N>& codes, uint16_t key) {
  const auto found = std::ranges::find(codes, key, &Code::key);
  if (found == codes.end()) return std::nullopt;
  return found->set2;
}

// Linux numbers the keys of the PC/AT keyboard by set 1.
std::optional<uint8_t> plain_code(uint16_t key) {
  if (const auto special = find(kPlain, key)) return special;
  if (key == KEY_RESERVED || key > KEY_F12) return std::nullopt;
  const auto found = std::ranges::find(kSet1, key);
  return static_cast<uint8_t>(found - kSet1.begin());
}

}  // namespace

uint8_t translated_scancode(uint8_t set2) noexcept {
  if (set2 < kSet1.size()) return kSet1[set2];
  if (set2 == kF7) return kSet1[0x02];
  if (set2 == kSysRq) return kSet1[0x7f];
  return set2;
}

std::vector<uint8_t> scancodes_of(uint16_t key, bool pressed) {
  // The only keys that tell nothing of their release: they tell that at once.
  if (key == KEY_PAUSE && pressed)
    return {kPausePrefix, 0x14, 0x77, kPausePrefix, kRelease, 0x14, kRelease, 0x77};
  if (key == kBreak && pressed) return {kExtended, 0x7e, kExtended, kRelease, 0x7e};
  std::vector<uint8_t> bytes;
  auto code = plain_code(key);
  if (!code && (code = find(kWithPrefix, key))) bytes.push_back(kExtended);
  if (!code) return {};
  if (!pressed) bytes.push_back(kRelease);
  bytes.push_back(*code);
  return bytes;
}

std::vector<uint8_t> translated_scancodes(const std::vector<uint8_t>& set2) {
  std::vector<uint8_t> bytes;
  uint8_t mark = 0;
  for (const uint8_t code : set2) {
    if (code == kRelease)
      mark = kSet1Release;
    else
      bytes.push_back(translated_scancode(code) | std::exchange(mark, uint8_t{0}));
  }
  return bytes;
}

}  // namespace vireo::dev
