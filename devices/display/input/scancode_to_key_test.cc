#include "devices/display/input/scancode_to_key.h"

#include <linux/input-event-codes.h>

#include <catch2/catch.hpp>

namespace vireo::display {

TEST_CASE("scancodes are keys", "[display]") {
  REQUIRE(key_of_scancode(0x1e) == KEY_A);
  REQUIRE(key_of_scancode(0x58) == KEY_F12);
  REQUIRE(key_of_scancode(0x56) == KEY_102ND);
  REQUIRE(key_of_scancode(0x9d) == KEY_RIGHTCTRL);
  REQUIRE(key_of_scancode(0xb8) == KEY_RIGHTALT);
  REQUIRE(key_of_scancode(0xc6) == KEY_PAUSE);
  REQUIRE(key_of_scancode(0xd3) == KEY_DELETE);
  REQUIRE(key_of_scancode(0xb7) == KEY_SYSRQ);
  REQUIRE(key_of_scancode(0x7d) == KEY_YEN);
  for (const uint32_t none : {0x00U, 0x80U, 0x100U, 0xffffffffU, 0xe01cU})
    REQUIRE(key_of_scancode(none) == 0);
  for (uint32_t code = 0; code <= 0xffff; ++code) REQUIRE(key_of_scancode(code) < KEY_CNT);
}

}  // namespace vireo::display
