// The keys and buttons that one viewer holds, of a keyboard and a pointer that it shares.
//
// Thread: the loop's. The guest sees released what a viewer holds that leaves.
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "devices/display/input/keymap.h"
#include "devices/display/input/shared_input.h"
#include "devices/display/input/viewer_events.h"
#include "devices/display/screen.h"

namespace vireo::display {

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
