// One keyboard and one pointer that several viewers share.
//
// Thread: the loop's. A key is released for the guest when the last viewer that pressed it has
// released it, or is gone.
#pragma once

#include <linux/input-event-codes.h>

#include <array>
#include <cstdint>

#include "devices/display/input/keymap.h"
#include "devices/display/screen.h"

namespace vireo::display {

class SharedInput {
 public:
  explicit SharedInput(Input& input) : input_(input) {}

  void press(uint16_t code);
  void repeat(uint16_t code) { input_.key(code, true); }
  void release(uint16_t code);
  bool pressed(uint16_t code) const noexcept { return holders_[code] > 0; }
  // What the guest's keyboard is like, as far as its keys tell: lights are not told to us.
  KeyboardState state() const noexcept;

  // The pressing and releasing around a key that needs other modifiers than are held. The guest
  // sees them only.
  void show(uint16_t code, bool pressed) { input_.key(code, pressed); }

  void move(uint16_t x, uint16_t y, uint8_t before, uint8_t buttons);

 private:
  Input& input_;
  std::array<uint16_t, KEY_CNT> holders_{};   // viewers that hold each key
  std::array<uint16_t, 8> button_holders_{};  // and each button
  bool caps_lock_ = false, num_lock_ = false;
};

}  // namespace vireo::display
