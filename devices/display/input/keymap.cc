#include "devices/display/input/keymap.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <xkbcommon/xkbcommon-keysyms.h>
#include <xkbcommon/xkbcommon.h>

#include "vmm/base/error.h"
#include "vmm/base/shared_library.h"

namespace vireo::display {

namespace {

struct Layout {
  std::string_view name;  // as QEMU calls it
  const char* layout;     // as XKB does
  const char* variant = "";
};
// Of several variants the one that agrees best with the tables of others, such as consoles.
constexpr std::array kLayouts = std::to_array<Layout>({
    {"ar", "ara"},          {"bepo", "fr", "bepo"}, {"cz", "cz"},    {"da", "dk"},
    {"de", "de"},           {"de-ch", "ch", "de"},  {"en-gb", "gb"}, {"en-us", "us"},
    {"es", "es"},           {"et", "ee"},           {"fi", "fi"},    {"fo", "fo"},
    {"fr", "fr", "azerty"}, {"fr-be", "be"},        {"fr-ca", "ca"}, {"fr-ch", "ch", "fr"},
    {"hr", "hr"},           {"hu", "hu"},           {"is", "is"},    {"it", "it"},
    {"ja", "jp"},           {"lt", "lt"},           {"lv", "lv"},    {"mk", "mk"},
    {"nl", "nl"},           {"no", "no"},           {"pl", "pl"},    {"pt", "pt"},
    {"pt-br", "br"},        {"ru", "ru"},           {"sl", "si"},    {"sv", "se"},
    {"th", "th"},           {"tr", "tr"},
});

constexpr uint32_t kXkbOffset = 8;  // XKB's keycodes are Linux' and eight
constexpr uint32_t kUnicode = 0x01000000;
// XKB gives modifiers more keys than there are, with numbers that Linux does not use.
constexpr bool is_invented(size_t code) noexcept {
  return code == 84 || (code >= 195 && code <= 199);
}
// Keys behind these are rare, and a guest may not know them.
constexpr uint16_t kLastCommon = 127;

// Consoles have the keypad's digits with Num Lock only, whatever Shift says.
constexpr bool is_keypad(uint32_t keysym) noexcept {
  return keysym >= XKB_KEY_KP_Space && keysym <= XKB_KEY_KP_Equal;
}

// The keys that make no character do the same with all modifiers.
constexpr bool makes_character(uint32_t keysym) noexcept {
  return keysym < 0xfe00 || keysym >= kUnicode || (keysym >= 0xfe50 && keysym < 0xff00);
}

// What a dead key makes with the space bar.
struct Dead {
  uint32_t keysym, dead;
};
constexpr std::array kDead = std::to_array<Dead>({
    {XKB_KEY_grave, XKB_KEY_dead_grave},
    {XKB_KEY_acute, XKB_KEY_dead_acute},
    {XKB_KEY_asciicircum, XKB_KEY_dead_circumflex},
    {XKB_KEY_asciitilde, XKB_KEY_dead_tilde},
    {XKB_KEY_diaeresis, XKB_KEY_dead_diaeresis},
    {XKB_KEY_macron, XKB_KEY_dead_macron},
    {XKB_KEY_cedilla, XKB_KEY_dead_cedilla},
});

struct OtherName {
  uint32_t keysym, other;
};
// The third part: what X servers send for keys with Control, Alt or both.
constexpr std::array kOtherNames = std::to_array<OtherName>({
    {XKB_KEY_KP_Home, XKB_KEY_Home},
    {XKB_KEY_KP_Left, XKB_KEY_Left},
    {XKB_KEY_KP_Up, XKB_KEY_Up},
    {XKB_KEY_KP_Right, XKB_KEY_Right},
    {XKB_KEY_KP_Down, XKB_KEY_Down},
    {XKB_KEY_KP_Prior, XKB_KEY_Prior},
    {XKB_KEY_KP_Next, XKB_KEY_Next},
    {XKB_KEY_KP_End, XKB_KEY_End},
    {XKB_KEY_KP_Insert, XKB_KEY_Insert},
    {XKB_KEY_KP_Delete, XKB_KEY_Delete},
    {XKB_KEY_KP_Tab, XKB_KEY_Tab},
    {XKB_KEY_KP_Space, XKB_KEY_space},
    {XKB_KEY_KP_F1, XKB_KEY_F1},
    {XKB_KEY_KP_F2, XKB_KEY_F2},
    {XKB_KEY_KP_F3, XKB_KEY_F3},
    {XKB_KEY_KP_F4, XKB_KEY_F4},
    {XKB_KEY_Begin, XKB_KEY_KP_Begin},
    {XKB_KEY_ISO_Enter, XKB_KEY_Return},
    {XKB_KEY_ISO_Level3_Shift, XKB_KEY_Alt_R},
    {XKB_KEY_Alt_R, XKB_KEY_ISO_Level3_Shift},
    {XKB_KEY_Mode_switch, XKB_KEY_Alt_R},
    {XKB_KEY_Meta_L, XKB_KEY_Alt_L},
    {XKB_KEY_Meta_R, XKB_KEY_Alt_R},
    {XKB_KEY_Hyper_L, XKB_KEY_Super_L},
    {XKB_KEY_Hyper_R, XKB_KEY_Super_R},
    {XKB_KEY_Multi_key, XKB_KEY_Menu},
    {XKB_KEY_Shift_Lock, XKB_KEY_Caps_Lock},
    {XKB_KEY_Eisu_toggle, XKB_KEY_Caps_Lock},
    {XKB_KEY_Romaji, XKB_KEY_Hiragana_Katakana},
    {XKB_KEY_Kanji, XKB_KEY_Zenkaku_Hankaku},

    {XKB_KEY_Sys_Req, XKB_KEY_Print},
    {XKB_KEY_Execute, XKB_KEY_Print},  // on Japanese keyboards
    {XKB_KEY_Break, XKB_KEY_Pause},
    {XKB_KEY_Pointer_EnableKeys, XKB_KEY_Num_Lock},
    {XKB_KEY_Terminate_Server, XKB_KEY_BackSpace},
    {XKB_KEY_XF86Ungrab, XKB_KEY_KP_Divide},
    {XKB_KEY_XF86ClearGrab, XKB_KEY_KP_Multiply},
    {XKB_KEY_XF86Next_VMode, XKB_KEY_KP_Add},
    {XKB_KEY_XF86Prev_VMode, XKB_KEY_KP_Subtract},

    // A viewer's dead key, where the guest's layout has none: the key of "US, international" that
    // is this one is in "US" this character.
    {XKB_KEY_dead_grave, XKB_KEY_grave},
    {XKB_KEY_dead_acute, XKB_KEY_apostrophe},
    {XKB_KEY_dead_circumflex, XKB_KEY_asciicircum},
    {XKB_KEY_dead_tilde, XKB_KEY_asciitilde},
    {XKB_KEY_dead_diaeresis, XKB_KEY_quotedbl},
});

// Keys that not every layout names, but a keyboard has.
struct NamedKey {
  uint32_t keysym;
  uint16_t code;
};
constexpr std::array kNamedKeys = std::to_array<NamedKey>({
    {XKB_KEY_yen, KEY_YEN},  // XKB's Japanese keyboard makes a backslash with it
    {kUnicode | 0xa5, KEY_YEN},
    {XKB_KEY_Zenkaku_Hankaku, KEY_ZENKAKUHANKAKU},
    {XKB_KEY_Kanji, KEY_ZENKAKUHANKAKU},
    {XKB_KEY_F13, KEY_F13},
    {XKB_KEY_F14, KEY_F14},
    {XKB_KEY_F15, KEY_F15},
    {XKB_KEY_F16, KEY_F16},
    {XKB_KEY_F17, KEY_F17},
    {XKB_KEY_F18, KEY_F18},
    {XKB_KEY_F19, KEY_F19},
    {XKB_KEY_F20, KEY_F20},
    {XKB_KEY_F21, KEY_F21},
    {XKB_KEY_F22, KEY_F22},
    {XKB_KEY_F23, KEY_F23},
    {XKB_KEY_F24, KEY_F24},
});

const Layout& layout_called(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Layout& layout : kLayouts) {
    if (layout.name == name) return layout;
    names.push_back(layout.name);
  }
  throw ConfigError(
      fmt::format("there is no keyboard layout '{}'; there are: {}", name, fmt::join(names, ", ")));
}

// How many modifiers have to change; of two places as near, the one without AltGr is printed on the
// keyboard.
int distance(const KeyboardState& place, const KeyboardState& held) noexcept {
  const int changes = (place.shift != held.shift ? 1 : 0) + (place.alt_gr != held.alt_gr ? 1 : 0);
  return 2 * changes + (place.alt_gr ? 1 : 0);
}

}  // namespace

// The library, and a keyboard of the layout.
struct Keymap::Xkb {
  explicit Xkb(const Layout& layout)
      : library("libxkbcommon.so.0", "libxkbcommon0", "keyboard layouts need") {
    library.find("xkb_context_new", context_new);
    library.find("xkb_context_unref", context_unref);
    library.find("xkb_context_set_log_level", set_log_level);
    library.find("xkb_keymap_new_from_names", keymap_new);
    library.find("xkb_keymap_unref", keymap_unref);
    library.find("xkb_keymap_mod_get_index", mod_index);
    library.find("xkb_keymap_max_keycode", max_keycode);
    library.find("xkb_state_new", state_new);
    library.find("xkb_state_unref", state_unref);
    library.find("xkb_state_update_mask", update_mask);
    library.find("xkb_state_key_get_one_sym", keysym);
    library.find("xkb_keysym_to_utf32", to_utf32);
    library.find("xkb_utf32_to_keysym", from_utf32);
    library.find("xkb_keysym_to_lower", to_lower);
    context.reset(context_new(XKB_CONTEXT_NO_ENVIRONMENT_NAMES));
    VMM_CHECK(context, "there is memory for a keyboard");
    set_log_level(context.get(), XKB_LOG_LEVEL_CRITICAL);
    const xkb_rule_names names{.rules = "evdev",
                               .model = "pc105",
                               .layout = layout.layout,
                               .variant = layout.variant,
                               .options = ""};
    keymap.reset(keymap_new(context.get(), &names, XKB_KEYMAP_COMPILE_NO_FLAGS));
    if (!keymap)
      throw ConfigError(fmt::format(
          "the keyboard layout '{}' cannot be built: install the package xkb-data", layout.name));
    state.reset(state_new(keymap.get()));
    VMM_CHECK(state, "there is memory for a keyboard");
  }

  xkb_mod_mask_t mask(const char* modifier, bool on) const {
    const xkb_mod_index_t index = mod_index(keymap.get(), modifier);
    return on && index != XKB_MOD_INVALID ? xkb_mod_mask_t{1} << index : 0;
  }
  void set(const KeyboardState& held) {
    update_mask(state.get(), mask("Shift", held.shift) | mask("Mod5", held.alt_gr), 0,
                mask("Lock", held.caps_lock) | mask("Mod2", held.num_lock), 0, 0, 0);
  }

  // What each key makes, by its code.
  std::vector<xkb_keysym_t> keysyms(const KeyboardState& held) {
    set(held);
    std::vector<xkb_keysym_t> keysyms;
    const xkb_keycode_t last = max_keycode(keymap.get());
    for (xkb_keycode_t keycode = kXkbOffset; keycode <= last; ++keycode)
      keysyms.push_back(keysym(state.get(), keycode));
    return keysyms;
  }
  bool is_pair(xkb_keysym_t small, xkb_keysym_t capital) const {
    return small != capital && to_lower(capital) == small;
  }

  template <class T>
  using Owned = std::unique_ptr<T, void (*&)(T*)>;

  const SharedLibrary library;
  decltype(&::xkb_context_new) context_new;
  decltype(&::xkb_context_unref) context_unref;
  decltype(&::xkb_context_set_log_level) set_log_level;
  decltype(&::xkb_keymap_new_from_names) keymap_new;
  decltype(&::xkb_keymap_unref) keymap_unref;
  decltype(&::xkb_keymap_mod_get_index) mod_index;
  decltype(&::xkb_keymap_max_keycode) max_keycode;
  decltype(&::xkb_state_new) state_new;
  decltype(&::xkb_state_unref) state_unref;
  decltype(&::xkb_state_update_mask) update_mask;
  decltype(&::xkb_state_key_get_one_sym) keysym;
  decltype(&::xkb_keysym_to_utf32) to_utf32;
  decltype(&::xkb_utf32_to_keysym) from_utf32;
  decltype(&::xkb_keysym_to_lower) to_lower;
  Owned<xkb_context> context{nullptr, context_unref};
  Owned<xkb_keymap> keymap{nullptr, keymap_unref};
  Owned<xkb_state> state{nullptr, state_unref};
};

Keymap::Keymap(const std::string& layout) {
  Xkb xkb(layout_called(layout));
  for (const bool num_lock : {false, true})
    for (const bool caps_lock : {false, true})
      for (const bool alt_gr : {false, true})
        for (const bool shift : {false, true})
          add_places(
              xkb,
              {.shift = shift, .alt_gr = alt_gr, .caps_lock = caps_lock, .num_lock = num_lock});
  add_other_names(xkb);
}

void Keymap::add_places(Xkb& xkb, const KeyboardState& state) {
  KeyboardState shifted = state;
  shifted.shift = true;
  const std::vector<xkb_keysym_t> keysyms = xkb.keysyms(state), capitals = xkb.keysyms(shifted);
  for (size_t code = 1; code < std::min<size_t>(keysyms.size(), KEY_CNT); ++code) {
    const xkb_keysym_t keysym = keysyms[code];
    if (keysym == XKB_KEY_NoSymbol || is_invented(code)) continue;
    if (is_keypad(keysym) && state.shift) continue;
    places_[keysym].push_back({.code = static_cast<uint16_t>(code),
                               .state = state,
                               .is_letter = xkb.is_pair(keysym, capitals[code])});
  }
}

void Keymap::add_other_names(const Xkb& xkb) {
  for (const auto& [keysym, places] : places_) {
    const uint32_t character = xkb.to_utf32(keysym);
    if (character == 0 || is_keypad(keysym)) continue;
    for (const uint32_t other : {kUnicode | character, xkb.from_utf32(character)})
      if (!places_.contains(other)) other_names_.try_emplace(other, keysym);
  }
  for (const OtherName& name : kOtherNames) other_names_.try_emplace(name.keysym, name.other);
  for (uint32_t i = 0; i < 12; ++i)
    other_names_.try_emplace(XKB_KEY_XF86Switch_VT_1 + i, XKB_KEY_F1 + i);
  // The keypad's characters are ASCII's, in their order.
  for (uint32_t keysym = XKB_KEY_KP_Multiply; keysym <= XKB_KEY_KP_9; ++keysym)
    other_names_.try_emplace(keysym, keysym - XKB_KEY_KP_Multiply + '*');
}

const Keymap::Place* Keymap::best(uint32_t keysym, const KeyboardState& held) const {
  constexpr int kRare = 8;
  const auto found = places_.find(keysym);
  if (found == places_.end()) return nullptr;
  const Place* best = nullptr;
  int least = 0;
  for (const Place& place : found->second) {
    if (place.state.caps_lock != held.caps_lock || place.state.num_lock != held.num_lock) continue;
    const int cost = distance(place.state, held) + (place.code > kLastCommon ? kRare : 0);
    if (best != nullptr && cost >= least) continue;
    best = &place;
    least = cost;
  }
  return best;
}

std::optional<Keymap::Key> Keymap::find(uint32_t keysym, const KeyboardState& held) const {
  const Place* place = best(keysym, held);
  if (const auto other = other_names_.find(keysym); place == nullptr && other != other_names_.end())
    place = best(other->second, held);
  if (place == nullptr) {
    const std::optional<Key> named = find_by_name(keysym, held);
    return named ? named : find_dead(keysym, held);
  }
  if (!makes_character(keysym) && !is_keypad(keysym))
    return Key{.code = place->code,
               .shift = held.shift || keysym == XKB_KEY_ISO_Left_Tab,
               .alt_gr = held.alt_gr};
  return Key{.code = place->code,
             .shift = place->state.shift || (held.shift && place->is_letter),
             .alt_gr = place->state.alt_gr};
}

std::optional<Keymap::Key> Keymap::find_by_name(uint32_t keysym, const KeyboardState& held) {
  const auto found = std::ranges::find(kNamedKeys, keysym, &NamedKey::keysym);
  if (found == kNamedKeys.end()) return std::nullopt;
  return Key{.code = found->code, .shift = held.shift, .alt_gr = held.alt_gr};
}

std::optional<Keymap::Key> Keymap::find_dead(uint32_t keysym, const KeyboardState& held) const {
  const auto found = std::ranges::find(kDead, keysym, &Dead::keysym);
  if (found == kDead.end()) return std::nullopt;
  const Place* place = best(found->dead, held);
  if (place == nullptr) return std::nullopt;
  return Key{.code = place->code,
             .shift = place->state.shift,
             .alt_gr = place->state.alt_gr,
             .dead = true};
}

}  // namespace vireo::display
