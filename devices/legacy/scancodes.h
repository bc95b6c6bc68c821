// What a PC's keyboard sends for its keys. Pure functions; any thread. Keys are KEY_* of
// <linux/input-event-codes.h>.
#pragma once

#include <cstdint>
#include <vector>

namespace vireo::dev {

// A code of set 2 in set 1, as the keyboard controller translates it (without the break bit).
uint8_t translated_scancode(uint8_t set2) noexcept;

// What a keyboard in set 2 sends when the key goes down or up; empty: it has no such key, or
// (Pause) nothing to say of it.
std::vector<uint8_t> scancodes_of(uint16_t key, bool pressed);

// The same in set 1.
std::vector<uint8_t> translated_scancodes(const std::vector<uint8_t>& set2);

}  // namespace vireo::dev
