#include "devices/legacy/key_to_scancodes.h"

#include <linux/input-event-codes.h>

#include <set>

#include <catch2/catch.hpp>

using namespace vireo::dev;
using Bytes = std::vector<uint8_t>;

namespace {

Bytes in_set1(uint16_t key, bool pressed) {
  return translated_scancodes(scancodes_of(key, pressed));
}

}  // namespace

// Linux numbered them so.
TEST_CASE("the keys of the PC/AT have their number as their code of set 1") {
  for (uint16_t key = KEY_ESC; key <= KEY_F12; ++key) {
    if (key == KEY_ZENKAKUHANKAKU) continue;
    CAPTURE(key);
    REQUIRE(in_set1(key, true) == Bytes{static_cast<uint8_t>(key)});
    REQUIRE(in_set1(key, false) == Bytes{static_cast<uint8_t>(key | 0x80)});
  }
}

TEST_CASE("later keys have a prefix") {
  REQUIRE(scancodes_of(KEY_UP, true) == Bytes{0xe0, 0x75});
  REQUIRE(scancodes_of(KEY_UP, false) == Bytes{0xe0, 0xf0, 0x75});
  REQUIRE(in_set1(KEY_UP, true) == Bytes{0xe0, 0x48});
  REQUIRE(in_set1(KEY_UP, false) == Bytes{0xe0, 0xc8});
  REQUIRE(in_set1(KEY_RIGHTALT, true) == Bytes{0xe0, 0x38});
  REQUIRE(in_set1(KEY_DELETE, true) == Bytes{0xe0, 0x53});
  REQUIRE(in_set1(KEY_LEFTMETA, true) == Bytes{0xe0, 0x5b});
  REQUIRE(in_set1(KEY_SYSRQ, true) == Bytes{0xe0, 0x37});
  REQUIRE(in_set1(KEY_YEN, true) == Bytes{0x7d});
  REQUIRE(in_set1(KEY_RO, true) == Bytes{0x73});
}

TEST_CASE("F7 and Print with Alt are above the table, Pause and Break have no release") {
  REQUIRE(scancodes_of(KEY_F7, true) == Bytes{0x83});
  REQUIRE(in_set1(KEY_PAUSE, true) == Bytes{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5});
  REQUIRE(scancodes_of(KEY_PAUSE, false).empty());
  REQUIRE(translated_scancode(0x84) == 0x54);
  REQUIRE(in_set1(kBreak, true) == Bytes{0xe0, 0x46, 0xe0, 0xc6});
  REQUIRE(scancodes_of(kBreak, false).empty());
  REQUIRE(in_set1(kAltPrint, false) == Bytes{0xd4});
  REQUIRE(translated_scancode(0xfa) == 0xfa);
}

TEST_CASE("no two keys have one code, and the others have none") {
  std::set<Bytes> seen;
  size_t keys = 0;
  for (uint16_t key = 0; key < 0x400; ++key) {
    const Bytes code = scancodes_of(key, true);
    if (code.empty()) continue;
    ++keys;
    CAPTURE(key);
    REQUIRE(seen.insert(translated_scancodes(code)).second);
    REQUIRE(scancodes_of(key, false).size() <= 3);
  }
  REQUIRE(keys == 143);
  REQUIRE(scancodes_of(0xffff, true).empty());
}
