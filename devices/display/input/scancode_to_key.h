// The keys of a PC, from the scancodes that QEMU's extended key events carry. Pure; any thread.
#pragma once

#include <cstdint>

namespace vireo::display {

// The KEY_* of an XT scancode (set 1; 0x80 is set for the codes behind the prefix E0). 0: no key.
uint16_t key_of_scancode(uint32_t scancode) noexcept;

}  // namespace vireo::display
