#include "devices/display/input/viewer_keys.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "devices/display/input/scancode_to_key.h"

namespace vireo::display {

namespace {

// Makes the modifiers what a key needs, as long as it exists. A key makes its character when it is
// pressed; the modifiers that the viewer holds are back before anything else happens.
class Borrowed {
 public:
  Borrowed(SharedInput& input, const Keymap::Key& key) : input_(input) {
    want(key.shift, {KEY_LEFTSHIFT, KEY_RIGHTSHIFT});
    want(key.alt_gr, {KEY_RIGHTALT});
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() {
    for (const auto& [code, pressed] : shown_) input_.show(code, !pressed);
  }

 private:
  void want(bool pressed, const std::vector<uint16_t>& codes) {
    const bool is = std::ranges::any_of(codes, [&](uint16_t code) { return input_.pressed(code); });
    if (is == pressed) return;
    if (pressed) return show(codes.front(), true);
    for (const uint16_t code : codes)
      if (input_.pressed(code)) show(code, false);
  }
  void show(uint16_t code, bool pressed) {
    input_.show(code, pressed);
    shown_.emplace_back(code, pressed);
  }

  SharedInput& input_;
  std::vector<std::pair<uint16_t, bool>> shown_;
};

}  // namespace

void ViewerKeys::press(uint16_t code) {
  if (held_.insert(code).second)
    input_.press(code);
  else
    input_.repeat(code);
}

void ViewerKeys::release(uint16_t code) {
  if (held_.erase(code) == 0) return;
  std::erase_if(by_keysym_, [code](const auto& pressed) { return pressed.second == code; });
  input_.release(code);
}

void ViewerKeys::key(const KeyEvent& event) {
  if (const uint16_t code = key_of_scancode(event.scancode); code != 0)
    return event.pressed ? press(code) : release(code);
  if (event.scancode != 0) return;  // a key that there is not
  if (event.pressed)
    press_keysym(event.keysym);
  else
    release_keysym(event.keysym);
}

void ViewerKeys::press_with_modifiers(const Keymap::Key& key) {
  const Borrowed modifiers(input_, key);
  press(key.code);
}

void ViewerKeys::press_keysym(uint32_t keysym) {
  std::optional<Keymap::Key> key = keymap_.find(keysym, input_.state());
  if (!key) return;
  press_with_modifiers(*key);
  if (key->dead) {
    release(key->code);
    key = {.code = KEY_SPACE, .shift = false, .alt_gr = false};
    press_with_modifiers(*key);
  }
  // One keysym for each key: a second that shares it takes its place.
  std::erase_if(by_keysym_, [&](const auto& pressed) { return pressed.second == key->code; });
  by_keysym_[keysym] = key->code;
}

// A viewer may let go of Shift first, and then of "a" when it had pressed "A".
void ViewerKeys::release_keysym(uint32_t keysym) {
  if (const auto pressed = by_keysym_.find(keysym); pressed != by_keysym_.end())
    return release(pressed->second);
  if (const auto key = keymap_.find(keysym, input_.state())) release(key->code);
}

void ViewerKeys::pointer(const PointerEvent& event, Size screen) {
  x_ = std::min<uint16_t>(event.x, static_cast<uint16_t>(screen.width - 1));
  y_ = std::min<uint16_t>(event.y, static_cast<uint16_t>(screen.height - 1));
  input_.move(x_, y_, std::exchange(buttons_, event.buttons), event.buttons);
}

void ViewerKeys::release_all() {
  while (!held_.empty()) release(*held_.begin());
  if (buttons_ != 0) input_.move(x_, y_, std::exchange(buttons_, uint8_t{0}), 0);
}

}  // namespace vireo::display
