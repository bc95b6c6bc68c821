#include "devices/display/input/viewer_keys.h"

#include <catch2/catch.hpp>

#include "devices/display/testing/recorded_input.h"

namespace vireo::display {
namespace {

constexpr uint32_t kShiftLeft = 0xffe1, kControlLeft = 0xffe3, kCapsLock = 0xffe5,
                   kNumLock = 0xff7f, kKeypad1 = 0xffb1;

struct Keyboard {
  explicit Keyboard(const char* layout) : keymap(layout) {}
  std::string type(uint32_t keysym) {
    key(keysym, true);
    key(keysym, false);
    return input.take();
  }
  std::string press(uint32_t keysym) {
    key(keysym, true);
    return input.take();
  }
  std::string release(uint32_t keysym) {
    key(keysym, false);
    return input.take();
  }
  void key(uint32_t keysym, bool pressed) {
    viewer.key({.pressed = pressed, .keysym = keysym, .scancode = 0});
  }

  Keymap keymap;
  RecordedInput input;
  SharedInput shared{input};
  ViewerKeys viewer{keymap, shared};
};

}  // namespace

TEST_CASE("a character gets the modifiers that it needs, for as long as it needs them",
          "[display]") {
  Keyboard us("en-us");
  REQUIRE(us.type('a') == "+30 -30");
  REQUIRE(us.type('A') == "+42 +30 -42 -30");
  REQUIRE(us.press(kShiftLeft) == "+42");
  REQUIRE(us.type('A') == "+30 -30");
  REQUIRE(us.type('/') == "-42 +53 +42 -53");
  REQUIRE(us.release(kShiftLeft) == "-42");
  Keyboard de("de");
  REQUIRE(de.type('@') == "+100 +16 -100 -16");
  REQUIRE(de.type('^') == "+41 -41 +57 -57");
  REQUIRE(de.press(kShiftLeft) == "+42");
  REQUIRE(de.press('^') == "-42 +41 +42 -41 -42 +57 +42");
  REQUIRE(de.release('^') == "-57");
  REQUIRE(de.type('`') == "+13 -13 -42 +57 +42 -57");
  REQUIRE(de.release(kShiftLeft) == "-42");
}

TEST_CASE("a viewer's Shift stays down with a small letter", "[display]") {
  Keyboard us("en-us");
  us.press(kShiftLeft);
  REQUIRE(us.type('b') == "+48 -48");
  REQUIRE(us.press(kControlLeft) == "+29");
  REQUIRE(us.type('c') == "+46 -46");
  REQUIRE(us.type('C') == "+46 -46");
  REQUIRE(us.release(kControlLeft) == "-29");
  REQUIRE(us.type('7') == "-42 +8 +42 -8");
  REQUIRE(us.release(kShiftLeft) == "-42");
  REQUIRE(us.type('b') == "+48 -48");
  us.type(kCapsLock);
  us.press(kShiftLeft);
  REQUIRE(us.type('b') == "+48 -48");
}

TEST_CASE("what is released is what was pressed, whatever it is called by then", "[display]") {
  Keyboard us("en-us");
  us.press(kShiftLeft);
  REQUIRE(us.press('A') == "+30");
  us.release(kShiftLeft);
  REQUIRE(us.release('a') == "-30");
  REQUIRE(us.release('a').empty());
  REQUIRE(us.press('x') == "+45");
  REQUIRE(us.press('x') == "+45");  // a repetition
  REQUIRE(us.release('x') == "-45");
}

TEST_CASE("Caps Lock and Num Lock are followed", "[display]") {
  Keyboard us("en-us");
  us.type(kCapsLock);
  REQUIRE(us.type('A') == "+30 -30");
  REQUIRE(us.type('a') == "+42 +30 -42 -30");
  us.type(kCapsLock);
  REQUIRE(us.type('a') == "+30 -30");
  us.type(kNumLock);
  REQUIRE(us.type(kKeypad1) == "+79 -79");
}

TEST_CASE("keys that no layout knows, and keys by the thousand, do no harm", "[display]") {
  Keyboard us("en-us");
  for (uint32_t keysym = 0; keysym < 0x20000; ++keysym) us.key(keysym, true);
  us.input.take();
  us.viewer.release_all();
  us.input.take();
  us.viewer.release_all();
  REQUIRE(us.input.take().empty());
}

}  // namespace vireo::display
