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
  // the keysym with them.
  std::optional<Key> find(uint32_t keysym, const KeyboardState& held) const;

 private:
  struct Place {
    uint16_t code;
    KeyboardState state;
  };
  struct Xkb;

  void add_places(Xkb& xkb, const KeyboardState& state);
  void add_other_names(const Xkb& xkb);
  std::optional<Key> find_dead(uint32_t keysym, const KeyboardState& held) const;
  const Place* best(uint32_t keysym, const KeyboardState& held) const;

  std::unordered_map<uint32_t, std::vector<Place>> places_;
  // Other keysyms of the same meaning: of the same character, or without the keypad.
  std::unordered_map<uint32_t, uint32_t> other_names_;
};

}  // namespace vireo::display
