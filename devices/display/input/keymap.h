// Where the characters of a keyboard layout are: from the keysyms that viewers send to the keys
// that the guest, which is told the same layout, has to see pressed.
//
// Thread: any; immutable after construction. Built by libxkbcommon, loaded then, from the host's
// keyboard data (Debian: package xkb-data).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace vireo::display {

// What decides about the character that a key makes.
struct KeyboardState {
  bool shift = false, alt_gr = false, caps_lock = false, num_lock = false;
  bool operator==(const KeyboardState&) const = default;
};

class Keymap {
 public:
  // "en-us", "de", "fr", "ja", …; throws ConfigError that names them all when there is no such
  // layout, or says what is missing.
  explicit Keymap(const std::string& layout);

  struct Key {
    uint16_t code;  // KEY_*
    bool shift, alt_gr;
    bool dead = false;  // makes the character with the space bar that follows
    bool operator==(const Key&) const = default;
  };
  // The key, and which of the two modifiers must be held with it: those that are, if the key makes
  // the keysym with them. Shift that is held stays with a small letter, too: a viewer that sends
  // "b" while it holds Shift names the key, and means Shift+B (so do viewers that type by script,
  // and Ctrl+Shift+C of some). A viewer whose own Caps Lock turned the letter small again, without
  // the guest's Caps Lock being on, looks the same; its guest then sees what a keyboard would send.
  std::optional<Key> find(uint32_t keysym, const KeyboardState& held) const;

 private:
  struct Place {
    uint16_t code;
    KeyboardState state;
    bool is_letter = false;  // a small one, whose capital the key makes with Shift
  };
  struct Xkb;

  void add_places(Xkb& xkb, const KeyboardState& state);
  void add_other_names(const Xkb& xkb);
  std::optional<Key> find_dead(uint32_t keysym, const KeyboardState& held) const;
  static std::optional<Key> find_by_name(uint32_t keysym, const KeyboardState& held);
  const Place* best(uint32_t keysym, const KeyboardState& held) const;

  std::unordered_map<uint32_t, std::vector<Place>> places_;
  // Other keysyms of the same meaning: of the same character, without the keypad, or what a key
  // that the layout has makes with modifiers that it does not ask for.
  std::unordered_map<uint32_t, uint32_t> other_names_;
};

}  // namespace vireo::display
