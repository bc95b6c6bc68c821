// What a viewer does with its keyboard and its pointer, as it says it. Values.
#pragma once

#include <cstdint>

namespace vireo::display {

struct KeyEvent {
  bool pressed;
  uint32_t keysym;    // of X11
  uint32_t scancode;  // XT, 0x80 for the prefix E0; 0: the viewer does not say
};
// As it comes: it may point beyond the screen.
struct PointerEvent {
  uint8_t buttons;  // as in Input
  uint16_t x, y;
};

}  // namespace vireo::display
