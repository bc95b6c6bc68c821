#include "devices/display/input/shared_input.h"

namespace vireo::display {

void SharedInput::press(uint16_t code) {
  if (holders_[code]++ == 0) {
    if (code == KEY_CAPSLOCK) caps_lock_ = !caps_lock_;
    if (code == KEY_NUMLOCK) num_lock_ = !num_lock_;
  }
  input_.key(code, true);
}

void SharedInput::release(uint16_t code) {
  if (--holders_[code] == 0) input_.key(code, false);
}

KeyboardState SharedInput::state() const noexcept {
  return {.shift = pressed(KEY_LEFTSHIFT) || pressed(KEY_RIGHTSHIFT),
          .alt_gr = pressed(KEY_RIGHTALT),
          .caps_lock = caps_lock_,
          .num_lock = num_lock_};
}

void SharedInput::move(uint16_t x, uint16_t y, uint8_t before, uint8_t buttons) {
  uint8_t held = 0;
  for (unsigned i = 0; i < button_holders_.size(); ++i) {
    const unsigned bit = 1U << i;
    if ((before & bit) != 0) --button_holders_[i];
    if ((buttons & bit) != 0) ++button_holders_[i];
    if (button_holders_[i] > 0) held = static_cast<uint8_t>(held | bit);
  }
  input_.pointer(x, y, held);
}

}  // namespace vireo::display
