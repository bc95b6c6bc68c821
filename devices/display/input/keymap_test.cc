#include "devices/display/input/keymap.h"

#include <linux/input-event-codes.h>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::display {
namespace {

using Key = Keymap::Key;

constexpr uint32_t kReturn = 0xff0d, kTab = 0xff09, kLeft = 0xff51, kF1 = 0xffbe, kDelete = 0xffff,
                   kShiftLeft = 0xffe1, kControlLeft = 0xffe3, kAltLeft = 0xffe9,
                   kAltRight = 0xffea, kLevel3 = 0xfe03, kCapsLock = 0xffe5, kNumLock = 0xff7f,
                   kKeypad1 = 0xffb1, kKeypadEnd = 0xff9c, kKeypadPlus = 0xffab, kEuro = 0x20ac,
                   kAcute = 0xb4, kDeadAcute = 0xfe51, kUnicodeE = 0x010000e9, kUdiaeresis = 0xfc,
                   kEacute = 0xe9, kAgrave = 0xe0;

Key plain(uint16_t code) {
  return {.code = code, .shift = false, .alt_gr = false};
}
Key shifted(uint16_t code) {
  return {.code = code, .shift = true, .alt_gr = false};
}
Key with_alt_gr(uint16_t code) {
  return {.code = code, .shift = false, .alt_gr = true};
}

}  // namespace

TEST_CASE("each layout has its characters where its keyboard has them", "[display]") {
  const Keymap us("en-us"), de("de"), fr("fr"), ja("ja");
  REQUIRE(us.find('a', {}) == plain(KEY_A));
  REQUIRE(us.find('A', {}) == shifted(KEY_A));
  REQUIRE(us.find('@', {}) == shifted(KEY_2));
  REQUIRE(us.find('z', {}) == plain(KEY_Z));
  REQUIRE(us.find('(', {}) == shifted(KEY_9));
  REQUIRE(de.find('z', {}) == plain(KEY_Y));
  REQUIRE(de.find('@', {}) == with_alt_gr(KEY_Q));
  REQUIRE(de.find('/', {}) == shifted(KEY_7));
  REQUIRE(de.find(kUdiaeresis, {}) == plain(KEY_LEFTBRACE));
  REQUIRE(de.find(kEuro, {}) == with_alt_gr(KEY_E));
  REQUIRE(fr.find('a', {}) == plain(KEY_Q));
  REQUIRE(fr.find('1', {}) == shifted(KEY_1));
  REQUIRE(fr.find(kEacute, {}) == plain(KEY_2));
  REQUIRE(fr.find(kUnicodeE, {}) == plain(KEY_2));
  REQUIRE(fr.find(kAgrave, {}) == plain(KEY_0));
  // Where consoles' own tables have it, and the keyboard's print.
  REQUIRE(fr.find('~', {}) == with_alt_gr(KEY_2));
  REQUIRE(fr.find('~', {.shift = true}) == with_alt_gr(KEY_2));
  REQUIRE(ja.find('@', {}) == plain(KEY_LEFTBRACE));
  REQUIRE(ja.find('"', {}) == shifted(KEY_2));
  for (const Keymap* keymap : {&us, &de, &fr, &ja}) {
    REQUIRE(keymap->find(kReturn, {}) == plain(KEY_ENTER));
    REQUIRE(keymap->find(kF1, {}) == plain(KEY_F1));
    REQUIRE(keymap->find(kLeft, {}) == plain(KEY_LEFT));
    REQUIRE(keymap->find(kDelete, {}) == plain(KEY_DELETE));
    REQUIRE(keymap->find(kShiftLeft, {}) == plain(KEY_LEFTSHIFT));
    REQUIRE(keymap->find(kControlLeft, {}) == plain(KEY_LEFTCTRL));
    REQUIRE(keymap->find(kAltLeft, {}) == plain(KEY_LEFTALT));
    REQUIRE(keymap->find(kAltRight, {}) == plain(KEY_RIGHTALT));
    REQUIRE(keymap->find(kLevel3, {}) == plain(KEY_RIGHTALT));
  }
}

TEST_CASE("every layout can be built, and types ASCII if its script is Latin", "[display]") {
  const char* const name = GENERATE("bepo", "cz", "da", "de-ch", "en-gb", "es", "et", "fi", "fr-be",
                                    "fr-ca", "fr-ch", "hr", "hu", "is", "it", "lt", "lv", "nl",
                                    "no", "pl", "pt", "pt-br", "sl", "sv", "tr");
  const Keymap keymap(name);
  for (uint32_t letter = 'a'; letter <= 'z'; ++letter) {
    INFO(name << " " << static_cast<char>(letter));
    REQUIRE(keymap.find(letter, {}));
  }
  for (const char* const other : {"ar", "fo", "mk", "ru", "th"}) REQUIRE_NOTHROW(Keymap(other));
}

TEST_CASE("modifiers that the viewer holds are used as they are where they fit", "[display]") {
  const Keymap de("de");
  REQUIRE(de.find('A', {.shift = true}) == shifted(KEY_A));
  REQUIRE(de.find('@', {.alt_gr = true}) == with_alt_gr(KEY_Q));
  REQUIRE(de.find('@', {.shift = true}) == with_alt_gr(KEY_Q));  // a viewer with another layout
  REQUIRE(de.find('/', {}) == shifted(KEY_7));
  REQUIRE(de.find('A', {.caps_lock = true}) == plain(KEY_A));
  REQUIRE(de.find('a', {.caps_lock = true}) == shifted(KEY_A));
  // Keys that make no character leave the modifiers alone.
  REQUIRE(de.find(kLeft, {.shift = true}) == shifted(KEY_LEFT));
  REQUIRE(de.find(kTab, {.alt_gr = true}) == with_alt_gr(KEY_TAB));
}

TEST_CASE("Shift that is held stays with a small letter, and only with letters", "[display]") {
  const Keymap us("en-us"), fr("fr"), ru("ru");
  constexpr uint32_t kCyrillicF = 0x6c6;
  const KeyboardState shift{.shift = true};
  REQUIRE(us.find('b', shift) == shifted(KEY_B));
  REQUIRE(fr.find('a', shift) == shifted(KEY_Q));
  REQUIRE(ru.find(kCyrillicF, shift) == shifted(KEY_A));
  // With the guest's Caps Lock on, Shift makes the small letter, and the capital is made without.
  REQUIRE(us.find('b', {.shift = true, .caps_lock = true}) == shifted(KEY_B));
  REQUIRE(us.find('B', {.shift = true, .caps_lock = true}) == plain(KEY_B));
  // What is no letter names what it is.
  REQUIRE(us.find('1', shift) == plain(KEY_1));
  REQUIRE(us.find('-', shift) == plain(KEY_MINUS));
  REQUIRE(fr.find(kEacute, shift) == plain(KEY_2));
  REQUIRE(Keymap("de").find('@', shift) == with_alt_gr(KEY_Q));  // whose key has a capital omega
}

TEST_CASE("keys that X servers name by what they do with modifiers are found", "[display]") {
  constexpr uint32_t kSysReq = 0xff15, kBreak = 0xff6b, kExecute = 0xff62, kLeftTab = 0xfe20,
                     kMetaL = 0xffe7, kHyperL = 0xffed, kHyperR = 0xffee, kSuperL = 0xffeb,
                     kMultiKey = 0xff20, kMenu = 0xff67, kSwitchVt2 = 0x1008fe02,
                     kTerminate = 0xfed5, kPointerKeys = 0xfef9, kPrint = 0xff61, kPause = 0xff13;
  const char* const layout = GENERATE("en-us", "de", "fr", "ja");
  CAPTURE(layout);
  const Keymap keymap(layout);
  REQUIRE(keymap.find(kPrint, {}) == plain(KEY_SYSRQ));
  REQUIRE(keymap.find(kSysReq, {}) == plain(KEY_SYSRQ));
  REQUIRE(keymap.find(kExecute, {}) == plain(KEY_SYSRQ));
  REQUIRE(keymap.find(kPause, {}) == plain(KEY_PAUSE));
  REQUIRE(keymap.find(kBreak, {}) == plain(KEY_PAUSE));
  REQUIRE(keymap.find(kLeftTab, {.shift = true}) == shifted(KEY_TAB));
  REQUIRE(keymap.find(kLeftTab, {}) == shifted(KEY_TAB));
  REQUIRE(keymap.find(kMetaL, {.shift = true}) == shifted(KEY_LEFTALT));
  REQUIRE(keymap.find(kHyperL, {}) == plain(KEY_LEFTMETA));
  REQUIRE(keymap.find(kHyperR, {}) == plain(KEY_RIGHTMETA));
  REQUIRE(keymap.find(kSuperL, {}) == plain(KEY_LEFTMETA));
  REQUIRE(keymap.find(kMultiKey, {}) == plain(KEY_COMPOSE));
  REQUIRE(keymap.find(kMenu, {}) == plain(KEY_COMPOSE));
  REQUIRE(keymap.find(kSwitchVt2, {}) == plain(KEY_F2));
  REQUIRE(keymap.find(kTerminate, {}) == plain(KEY_BACKSPACE));
  REQUIRE(keymap.find(kPointerKeys, {.shift = true}) == shifted(KEY_NUMLOCK));
  REQUIRE(keymap.find(0xffca, {}) == plain(KEY_F13));
  REQUIRE(keymap.find(0xff91, {}) == plain(KEY_F1));  // KP_F1
}

TEST_CASE("a Japanese keyboard's keys are where they are printed", "[display]") {
  constexpr uint32_t kYen = 0xa5, kHenkan = 0xff23, kMuhenkan = 0xff22, kHiraganaKatakana = 0xff27,
                     kZenkakuHankaku = 0xff2a, kKanji = 0xff21, kEisuToggle = 0xff30,
                     kRomaji = 0xff24;
  const Keymap ja("ja");
  REQUIRE(ja.find(kYen, {}) == plain(KEY_YEN));
  REQUIRE(ja.find(0x010000a5, {}) == plain(KEY_YEN));
  REQUIRE(ja.find('|', {}) == shifted(KEY_YEN));
  REQUIRE(ja.find('|', {.shift = true}) == shifted(KEY_YEN));
  REQUIRE(ja.find('\\', {}) == plain(KEY_RO));
  REQUIRE(ja.find('_', {}) == shifted(KEY_RO));
  REQUIRE(ja.find(kHenkan, {}) == plain(KEY_HENKAN));
  REQUIRE(ja.find(kMuhenkan, {}) == plain(KEY_MUHENKAN));
  REQUIRE(ja.find(kHiraganaKatakana, {}) == plain(KEY_KATAKANAHIRAGANA));
  REQUIRE(ja.find(kZenkakuHankaku, {}) == plain(KEY_GRAVE));
  REQUIRE(ja.find(kKanji, {.alt_gr = true}) == with_alt_gr(KEY_GRAVE));
  REQUIRE(ja.find(kEisuToggle, {}) == plain(KEY_CAPSLOCK));
  const Keymap us("en-us");
  REQUIRE(us.find(kHenkan, {}) == plain(KEY_HENKAN));
  REQUIRE(us.find(kZenkakuHankaku, {}) == plain(KEY_ZENKAKUHANKAKU));
  REQUIRE(us.find(kRomaji, {}) == plain(KEY_KATAKANAHIRAGANA));
}

TEST_CASE("the keypad's digits do not depend on the guest's Num Lock", "[display]") {
  const Keymap us("en-us");
  REQUIRE(us.find(kKeypad1, {.num_lock = true}) == plain(KEY_KP1));
  REQUIRE(us.find(kKeypad1, {}) == plain(KEY_1));
  REQUIRE(us.find(kKeypadEnd, {}) == plain(KEY_KP1));
  REQUIRE(us.find(kKeypadEnd, {.num_lock = true}) == plain(KEY_END));
  REQUIRE(us.find(kKeypadPlus, {}) == plain(KEY_KPPLUS));
  const Keymap fr("fr");
  REQUIRE(fr.find(kKeypad1, {}) == shifted(KEY_1));
}

TEST_CASE("what only a dead key makes is that key, and then the space bar", "[display]") {
  const Keymap us("en-us"), de("de"), fr("fr");
  REQUIRE(de.find('^', {}) ==
          Key{.code = KEY_GRAVE, .shift = false, .alt_gr = false, .dead = true});
  REQUIRE(de.find('`', {}) == Key{.code = KEY_EQUAL, .shift = true, .alt_gr = false, .dead = true});
  REQUIRE(de.find(kAcute, {}) ==
          Key{.code = KEY_EQUAL, .shift = false, .alt_gr = false, .dead = true});
  REQUIRE(de.find(kDeadAcute, {}) == plain(KEY_EQUAL));
  REQUIRE(fr.find('^', {}) == with_alt_gr(KEY_9));
  REQUIRE(us.find('^', {}) == shifted(KEY_6));
  // A viewer's dead key is the character where the guest's layout has no such key.
  REQUIRE(us.find(kDeadAcute, {}) == plain(KEY_APOSTROPHE));
  REQUIRE(us.find(0xfe52, {}) == shifted(KEY_6));           // dead_circumflex
  REQUIRE(us.find(0xfe57, {}) == shifted(KEY_APOSTROPHE));  // dead_diaeresis
}

TEST_CASE("what no key makes is no key", "[display]") {
  const Keymap us("en-us");
  REQUIRE_FALSE(us.find(kUdiaeresis, {}));
  REQUIRE_FALSE(us.find(0, {}));
  REQUIRE_FALSE(us.find(0xffffffff, {}));
  REQUIRE_THROWS_AS(Keymap("xx"), ConfigError);
  REQUIRE_THROWS_AS(Keymap(""), ConfigError);
}

}  // namespace vireo::display
