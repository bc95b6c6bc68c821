// What viewers press: one keyboard and one pointer that several of them share.
//
// Thread: the loop's. A key is released for the guest when the last viewer that pressed it has
// released it, or is gone.
#pragma once

#include <linux/input-event-codes.h>

#include <array>
#include <cstdint>
#include <map>
#include <set>

#include "devices/display/keymap.h"
#include "devices/display/rfb_wire.h"
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

// What one viewer holds.
class ViewerKeys {
 public:
  ViewerKeys(const Keymap& keymap, SharedInput& input) : keymap_(keymap), input_(input) {}
  ViewerKeys(const ViewerKeys&) = delete;
  ViewerKeys& operator=(const ViewerKeys&) = delete;
  ~ViewerKeys() { release_all(); }

  void key(const KeyEvent& event);
  void pointer(const PointerEvent& event, Size screen);
  void release_all();

 private:
  void press(uint16_t code);
  void release(uint16_t code);
  void press_with_modifiers(const Keymap::Key& key);
  void press_keysym(uint32_t keysym);
  void release_keysym(uint32_t keysym);

  const Keymap& keymap_;
  SharedInput& input_;
  std::set<uint16_t> held_;
  std::map<uint32_t, uint16_t> by_keysym_;  // what was pressed for each; only of what is held
  uint16_t x_ = 0, y_ = 0;
  uint8_t buttons_ = 0;
};

}  // namespace vireo::display
