#include "devices/display/input/scancode_to_key.h"

#include <linux/input-event-codes.h>

#include <array>
#include <cstddef>

namespace vireo::display {

namespace {

constexpr uint32_t kPrefixed = 0x80;
// Up to here set 1 and Linux number the keys alike, with one gap.
constexpr uint32_t kLastAlike = KEY_F12;
constexpr uint32_t kGap = 0x55;

struct Named {
  uint8_t scancode;
  uint16_t code;
};

constexpr std::array kPlain = std::to_array<Named>({
    {0x54, KEY_SYSRQ},  // Print with Alt
    {0x55, KEY_F16},
    {0x59, KEY_KPEQUAL},
    {0x5a, KEY_F20},
    {0x5c, KEY_KPJPCOMMA},
    {0x5d, KEY_F13},
    {0x5e, KEY_F14},
    {0x5f, KEY_F15},
    {0x6d, KEY_F23},
    {0x6f, KEY_F24},
    {0x70, KEY_KATAKANAHIRAGANA},
    {0x71, KEY_HANJA},
    {0x72, KEY_HANGEUL},
    {0x73, KEY_RO},
    {0x74, KEY_F21},
    {0x76, KEY_ZENKAKUHANKAKU},
    {0x77, KEY_HIRAGANA},
    {0x78, KEY_KATAKANA},
    {0x79, KEY_HENKAN},
    {0x7b, KEY_MUHENKAN},
    {0x7d, KEY_YEN},
    {0x7e, KEY_KPCOMMA},
});

constexpr std::array kBehindE0 = std::to_array<Named>({
    {0x03, KEY_F17},       {0x04, KEY_F19},       {0x10, KEY_PREVIOUSSONG}, {0x19, KEY_NEXTSONG},
    {0x1c, KEY_KPENTER},   {0x1d, KEY_RIGHTCTRL}, {0x20, KEY_MUTE},         {0x21, KEY_CALC},
    {0x22, KEY_PLAYPAUSE}, {0x24, KEY_STOPCD},    {0x2e, KEY_VOLUMEDOWN},   {0x30, KEY_VOLUMEUP},
    {0x32, KEY_HOMEPAGE},  {0x35, KEY_KPSLASH},   {0x37, KEY_SYSRQ},        {0x38, KEY_RIGHTALT},
    {0x46, KEY_PAUSE},     {0x47, KEY_HOME},      {0x48, KEY_UP},           {0x49, KEY_PAGEUP},
    {0x4b, KEY_LEFT},      {0x4d, KEY_RIGHT},     {0x4f, KEY_END},          {0x50, KEY_DOWN},
    {0x51, KEY_PAGEDOWN},  {0x52, KEY_INSERT},    {0x53, KEY_DELETE},       {0x5b, KEY_LEFTMETA},
    {0x5c, KEY_RIGHTMETA}, {0x5d, KEY_COMPOSE},   {0x5e, KEY_POWER},        {0x5f, KEY_SLEEP},
    {0x63, KEY_WAKEUP},    {0x65, KEY_SEARCH},    {0x66, KEY_BOOKMARKS},    {0x67, KEY_REFRESH},
    {0x68, KEY_STOP},      {0x69, KEY_FORWARD},   {0x6a, KEY_BACK},         {0x6b, KEY_COMPUTER},
    {0x6c, KEY_MAIL},      {0x6d, KEY_CONFIG},    {0x77, KEY_F18},          {0x79, KEY_F22},
});

template <size_t N>
uint16_t find(const std::array<Named, N>& keys, uint32_t scancode) noexcept {
  for (const Named& key : keys)
    if (key.scancode == scancode) return key.code;
  return 0;
}

}  // namespace

uint16_t key_of_scancode(uint32_t scancode) noexcept {
  if (scancode > 0xff) return 0;
  if ((scancode & kPrefixed) != 0) return find(kBehindE0, scancode & ~kPrefixed);
  if (const uint16_t named = find(kPlain, scancode); named != 0) return named;
  return scancode <= kLastAlike && scancode != kGap ? static_cast<uint16_t>(scancode) : 0;
}

}  // namespace vireo::display
