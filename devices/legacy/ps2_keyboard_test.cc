#include "devices/legacy/ps2_keyboard.h"

#include <linux/input-event-codes.h>

#include <catch2/catch.hpp>

#include "devices/legacy/key_to_scancodes.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using Bytes = std::vector<uint8_t>;

namespace {

Bytes take(Ps2Keyboard& keyboard) {
  Bytes bytes;
  while (const auto byte = keyboard.send()) bytes.push_back(*byte);
  return bytes;
}

Bytes ask(Ps2Keyboard& keyboard, const Bytes& bytes) {
  for (const uint8_t byte : bytes) keyboard.receive(byte);
  return take(keyboard);
}

void tap(Ps2Keyboard& keyboard, uint16_t key) {
  keyboard.key(key, true);
  keyboard.key(key, false);
}

}  // namespace

TEST_CASE("a PS/2 keyboard keeps the state contract") {
  const Ps2Keyboard::State busy{.pending_command = 0xed,
                                .scan_set = 1,
                                .scanning = false,
                                .spoken_to = true,
                                .down = {KEY_A, KEY_LEFTSHIFT},
                                .output = {.answers = {0xfa}, .reports = {0x1e, 0x2a}, .last = 7}};
  vireo::testing::check_state_contract<Ps2Keyboard::State>({{}, busy});
  REQUIRE(Ps2Keyboard(busy).state() == busy);
  REQUIRE_THROWS_AS(Ps2Keyboard({.scan_set = 3}), StateError);
  REQUIRE_THROWS_AS(Ps2Keyboard({.output = {.answers = Bytes(17)}}), StateError);
  REQUIRE_THROWS_AS(Ps2Keyboard({.output = {.reports = Bytes(1025)}}), StateError);
  REQUIRE_THROWS_AS(Ps2Keyboard({.down = {1, 2}, .output = {.reports = Bytes(1020)}}), StateError);
}

TEST_CASE("a keyboard answers its commands") {
  Ps2Keyboard keyboard;
  REQUIRE(ask(keyboard, {0xff}) == Bytes{0xfa, 0xaa});
  REQUIRE(ask(keyboard, {0xf2}) == Bytes{0xfa, 0xab, 0x83});
  REQUIRE(ask(keyboard, {0xee}) == Bytes{0xee});
  REQUIRE(ask(keyboard, {0xed, 0x07}) == Bytes{0xfa, 0xfa});
  REQUIRE(ask(keyboard, {0xf3, 0x20}) == Bytes{0xfa, 0xfa});
  REQUIRE(ask(keyboard, {0xf4}) == Bytes{0xfa});
  REQUIRE(ask(keyboard, {0xf8}) == Bytes{0xfa});
  REQUIRE(ask(keyboard, {0xfc, 0x12}) == Bytes{0xfa, 0xfa});
  REQUIRE(ask(keyboard, {0x00}) == Bytes{0xfe});
  REQUIRE(ask(keyboard, {0xf1}) == Bytes{0xfe});
  REQUIRE(ask(keyboard, {0xf2, 0xfe}) == Bytes{0xfa, 0xab, 0x83, 0xfe});
  REQUIRE(ask(keyboard, {0xfe}) == Bytes{0xfe});
}

TEST_CASE("a command in the place of a parameter is a command") {
  Ps2Keyboard keyboard;
  REQUIRE(ask(keyboard, {0xed, 0xf2}) == Bytes{0xfa, 0xfa, 0xab, 0x83});
  REQUIRE(ask(keyboard, {0x07}) == Bytes{0xfe});
}

TEST_CASE("a keyboard switches between the sets it has") {
  Ps2Keyboard keyboard;
  REQUIRE(ask(keyboard, {0xf0, 0x00}) == Bytes{0xfa, 0xfa, 0x02});
  tap(keyboard, KEY_A);
  REQUIRE(take(keyboard) == Bytes{0x1c, 0xf0, 0x1c});
  REQUIRE(ask(keyboard, {0xf0, 0x01}) == Bytes{0xfa, 0xfa});
  tap(keyboard, KEY_A);
  REQUIRE(take(keyboard) == Bytes{0x1e, 0x9e});
  REQUIRE(ask(keyboard, {0xf0, 0x00}) == Bytes{0xfa, 0xfa, 0x01});
  REQUIRE(ask(keyboard, {0xf0, 0x03}) == Bytes{0xfa, 0xfe});
  REQUIRE(ask(keyboard, {0xf6}) == Bytes{0xfa});
  REQUIRE(ask(keyboard, {0xf0, 0x00}) == Bytes{0xfa, 0xfa, 0x02});
}

TEST_CASE("answers go ahead of keys") {
  Ps2Keyboard keyboard;
  keyboard.key(KEY_A, true);
  REQUIRE(ask(keyboard, {0xf2}) == Bytes{0xfa, 0xab, 0x83, 0x1c});
}

TEST_CASE("a held key repeats as often as it is pressed again") {
  Ps2Keyboard keyboard;
  for (int i = 0; i < 3; ++i) keyboard.key(KEY_B, true);
  keyboard.key(KEY_B, false);
  keyboard.key(KEY_B, false);
  keyboard.key(KEY_C, false);
  REQUIRE(take(keyboard) == Bytes{0x32, 0x32, 0x32, 0xf0, 0x32});
}

TEST_CASE("a keyboard that is switched off tells nothing") {
  Ps2Keyboard keyboard;
  keyboard.key(KEY_A, true);
  REQUIRE(ask(keyboard, {0xf5}) == Bytes{0xfa});
  keyboard.key(KEY_B, true);
  keyboard.key(KEY_A, false);
  REQUIRE(take(keyboard).empty());
  REQUIRE(keyboard.state().down.empty());
  ask(keyboard, {0xf4});
  tap(keyboard, KEY_C);
  REQUIRE(take(keyboard) == Bytes{0x21, 0xf0, 0x21});
}

TEST_CASE("a host that does not read loses presses, never releases") {
  const bool spoken_to = GENERATE(false, true);
  Ps2Keyboard keyboard;
  if (spoken_to) ask(keyboard, {0xf4});
  for (uint16_t key = KEY_1; key <= KEY_0; ++key) keyboard.key(key, true);
  for (int round = 0; round < 1000; ++round) keyboard.key(KEY_Z, true);
  for (int round = 0; round < 1000; ++round) tap(keyboard, KEY_HOME);
  for (uint16_t key = KEY_1; key <= KEY_Z; ++key) keyboard.key(key, false);
  REQUIRE(keyboard.state().down.empty());
  const Bytes bytes = take(keyboard);
  // Linux empties a controller by 16 reads at most, and that has one more byte.
  REQUIRE(bytes.size() <= (spoken_to ? 1024 : 14));
  std::multiset<uint8_t> down;
  bool released = false;
  for (const uint8_t byte : bytes) {
    if (byte == 0xf0)
      released = true;
    else if (byte != 0xe0 && !std::exchange(released, false))
      down.insert(byte);
    else
      down.erase(byte);
  }
  REQUIRE(down.empty());
  tap(keyboard, KEY_A);
  REQUIRE(take(keyboard) == Bytes{0x1c, 0xf0, 0x1c});
}

TEST_CASE("Print with Alt and Pause with Control are keys of their own") {
  Ps2Keyboard keyboard;
  ask(keyboard, {0xf0, 0x01});
  const auto press = [&](uint16_t key, bool pressed) {
    REQUIRE(keyboard.key(key, pressed));
    return take(keyboard);
  };
  REQUIRE(press(KEY_SYSRQ, true) == Bytes{0xe0, 0x37});
  REQUIRE(press(KEY_SYSRQ, false) == Bytes{0xe0, 0xb7});
  const uint16_t alt = GENERATE(uint16_t{KEY_LEFTALT}, uint16_t{KEY_RIGHTALT});
  press(alt, true);
  REQUIRE(press(KEY_SYSRQ, true) == Bytes{0x54});
  REQUIRE(press(KEY_SYSRQ, true) == Bytes{0x54});
  // It stays that key when Alt is up first.
  press(alt, false);
  REQUIRE(press(KEY_SYSRQ, false) == Bytes{0xd4});
  REQUIRE(press(KEY_SYSRQ, false).empty());
  press(KEY_RIGHTCTRL, true);
  REQUIRE(press(KEY_PAUSE, true) == Bytes{0xe0, 0x46, 0xe0, 0xc6});
  REQUIRE(press(KEY_PAUSE, false).empty());
  press(KEY_RIGHTCTRL, false);
  REQUIRE(press(KEY_PAUSE, true) == Bytes{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5});
  REQUIRE(press(KEY_PAUSE, false).empty());
  REQUIRE(keyboard.state().down.empty());
  // What nobody holds any more is released by the name that it is held by.
  press(alt, true);
  press(KEY_SYSRQ, true);
  keyboard.release_all_but({KEY_SYSRQ});
  REQUIRE(keyboard.state().down == std::vector<uint16_t>{kAltPrint});
  take(keyboard);
  keyboard.release_all_but({});
  REQUIRE(take(keyboard) == Bytes{0xd4});
}

TEST_CASE("a press that there is no room for is said to be refused") {
  Ps2Keyboard keyboard;
  REQUIRE(keyboard.key(KEY_A, true));
  while (keyboard.key(KEY_A, true)) {
  }
  REQUIRE(keyboard.key(KEY_A, false));
  REQUIRE(keyboard.key(KEY_MICMUTE, true));  // there is no such key: nothing to wait for
  ask(keyboard, {0xf5});
  REQUIRE_FALSE(keyboard.key(KEY_B, true));
  ask(keyboard, {0xf4});
  REQUIRE(keyboard.key(KEY_B, true));
}

TEST_CASE("what nobody holds any more is released") {
  Ps2Keyboard keyboard;
  ask(keyboard, {0xf4});
  for (const int key : {KEY_LEFTCTRL, KEY_LEFTALT, KEY_DELETE})
    keyboard.key(static_cast<uint16_t>(key), true);
  take(keyboard);
  keyboard.release_all_but({KEY_LEFTALT, KEY_Q});
  REQUIRE(take(keyboard) == Bytes{0xf0, 0x14, 0xe0, 0xf0, 0x71});
  REQUIRE(keyboard.state().down == std::vector<uint16_t>{KEY_LEFTALT});
}

TEST_CASE("a host that sends on and on is answered within bounds") {
  Ps2Keyboard keyboard;
  for (int i = 0; i < 1000; ++i) keyboard.receive(0xf2);
  REQUIRE(take(keyboard).size() <= ps2::Output::kMaxAnswers);
  REQUIRE(ask(keyboard, {0xee}) == Bytes{0xee});
}
