// What a PC's keyboard sends for its keys. Pure functions; any thread. Keys are KEY_* of
// <linux/input-event-codes.h>.
#pragma once

#include <linux/input-event-codes.h>

#include <cstdint>
#include <vector>

namespace vireo::dev {

// A code of set 2 in set 1, as the keyboard controller translates it (without the break bit).
uint8_t translated_scancode(uint8_t set2) noexcept;

// Two keys that are others while a modifier is down (IBM PS/2 Hardware Interface Technical
// Reference, "Scan Code Set 2", notes of the keys 124 and 126): Print with Alt, which has no number
// in Linux but its code of set 1, and Pause with Control.
inline constexpr uint16_t kAltPrint = 84;
inline constexpr uint16_t kBreak = KEY_BREAK;

// What a keyboard in set 2 sends when the key goes down or up; empty: it has no such key, or
// (Pause, Break) nothing to say of it.
std::vector<uint8_t> scancodes_of(uint16_t key, bool pressed);

// The same in set 1.
std::vector<uint8_t> translated_scancodes(const std::vector<uint8_t>& set2);

}  // namespace vireo::dev
