#include "devices/legacy/ps2_mouse.h"

#include <catch2/catch.hpp>

#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using Bytes = std::vector<uint8_t>;

namespace {

Bytes take(Ps2Mouse& mouse) {
  Bytes bytes;
  while (const auto byte = mouse.send()) bytes.push_back(*byte);
  return bytes;
}

Bytes ask(Ps2Mouse& mouse, const Bytes& bytes) {
  Bytes answers;
  for (const uint8_t byte : bytes) {
    mouse.receive(byte);
    const Bytes answer = take(mouse);
    answers.insert(answers.end(), answer.begin(), answer.end());
  }
  return answers;
}

constexpr Bytes::value_type kAck = 0xfa;

}  // namespace

TEST_CASE("a PS/2 mouse keeps the state contract") {
  const Ps2Mouse::State busy{.pending_command = 0xf3,
                             .reporting = true,
                             .remote = true,
                             .wrap = true,
                             .double_scale = true,
                             .has_wheel = true,
                             .resolution = 3,
                             .rate = 80,
                             .rates = {200, 100, 80},
                             .buttons = 5,
                             .told_buttons = 1,
                             .x = -100,
                             .y = 8192,
                             .wheel = -1,
                             .output = {.answers = {0xfa}, .reports = {8, 1, 2, 3}, .last = 8}};
  vireo::testing::check_state_contract<Ps2Mouse::State>({{}, busy});
  REQUIRE(Ps2Mouse(busy).state() == busy);
  for (const Ps2Mouse::State& wrong : {Ps2Mouse::State{.resolution = 4},
                                       {.buttons = 8},
                                       {.told_buttons = 8},
                                       {.x = 8193},
                                       {.y = -8193},
                                       {.wheel = 10000},
                                       {.output = {.reports = Bytes(33)}}})
    REQUIRE_THROWS_AS(Ps2Mouse(wrong), StateError);
}

TEST_CASE("a mouse answers its commands") {
  Ps2Mouse mouse;
  REQUIRE(ask(mouse, {0xff}) == Bytes{kAck, 0xaa, 0x00});
  REQUIRE(ask(mouse, {0xf2}) == Bytes{kAck, 0x00});
  REQUIRE(ask(mouse, {0xe9}) == Bytes{kAck, 0x00, 2, 100});
  REQUIRE(ask(mouse, {0xe8, 3, 0xf3, 40, 0xe7, 0xf4}) == Bytes(6, kAck));
  REQUIRE(ask(mouse, {0xe9}) == Bytes{kAck, 0x30, 3, 40});
  REQUIRE(ask(mouse, {0xe8, 4}) == Bytes{kAck, 0xfe});
  REQUIRE(ask(mouse, {0xf0, 0xe6}) == Bytes(2, kAck));
  REQUIRE(ask(mouse, {0xe9}) == Bytes{kAck, 0x60, 3, 40});
  REQUIRE(ask(mouse, {0xf6, 0xe9}) == Bytes{kAck, kAck, 0x00, 2, 100});
  REQUIRE(ask(mouse, {0xee, 0xf2, 0x12, 0xec, 0xf2}) == Bytes{kAck, 0xf2, 0x12, kAck, kAck, 0x00});
  REQUIRE(ask(mouse, {0x55}) == Bytes{0xfe});
}

TEST_CASE("a mouse tells its motion once it is asked to") {
  Ps2Mouse mouse;
  mouse.move({.x = 5}, Ps2Mouse::kLeft);
  REQUIRE(take(mouse).empty());
  ask(mouse, {0xf4});
  mouse.move({.x = 3, .y = -2}, Ps2Mouse::kLeft);
  REQUIRE(take(mouse) == Bytes{0x29, 3, 0xfe});
  mouse.move({.x = -3, .y = 2}, Ps2Mouse::kRight | Ps2Mouse::kMiddle);
  REQUIRE(take(mouse) == Bytes{0x1e, 0xfd, 2});
  mouse.move({}, 0);
  REQUIRE(take(mouse) == Bytes{0x08, 0, 0});
  mouse.move({}, 0);
  mouse.move({.wheel = 1}, 0);  // it has none
  REQUIRE(take(mouse).empty());
}

TEST_CASE("a host that knows the knock gets a wheel") {
  Ps2Mouse mouse;
  REQUIRE(ask(mouse, {0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf2}) ==
          Bytes{kAck, kAck, kAck, kAck, kAck, kAck, kAck, 0x03});
  ask(mouse, {0xf4});
  mouse.move({.wheel = -1}, 0);
  REQUIRE(take(mouse) == Bytes{0x08, 0, 0, 0xff});
  mouse.move({.wheel = 9}, 0);
  REQUIRE(take(mouse) == Bytes{0x08, 0, 0, 7, 0x08, 0, 0, 2});
  ask(mouse, {0xff});
  REQUIRE(ask(mouse, {0xf2}) == Bytes{kAck, 0x00});
}

TEST_CASE("motion that does not fit into one report is told in several") {
  Ps2Mouse mouse;
  ask(mouse, {0xf4});
  mouse.move({.x = 600, .y = -256}, 0);
  REQUIRE(take(mouse) == Bytes{0x28, 255, 0x01, 0x28, 255, 0xff, 0x08, 90, 0});
}

TEST_CASE("motion that is not fetched adds up, and the buttons end as they are") {
  Ps2Mouse mouse;
  ask(mouse, {0xf4});
  for (int i = 0; i < 5000; ++i) mouse.move({.x = 1, .y = -1}, i % 2 == 0 ? 0 : 1);
  mouse.move({}, Ps2Mouse::kRight);
  REQUIRE(mouse.state().output.reports.size() <= 32);
  const Bytes bytes = take(mouse);
  REQUIRE(bytes.size() % 3 == 0);
  int x = 0, y = 0;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    x += bytes[i + 1] - ((bytes[i] & 0x10) != 0 ? 256 : 0);
    y += bytes[i + 2] - ((bytes[i] & 0x20) != 0 ? 256 : 0);
  }
  REQUIRE(x == 5000);
  REQUIRE(y == -5000);
  REQUIRE((bytes[bytes.size() - 3] & 7) == Ps2Mouse::kRight);
}

TEST_CASE("motion has bounds") {
  Ps2Mouse mouse;
  ask(mouse, {0xf4});
  for (int i = 0; i < 10; ++i) mouse.move({.x = INT32_MAX, .y = INT32_MIN}, 0);
  REQUIRE(mouse.state().x <= Ps2Mouse::kFarthest);
  REQUIRE(mouse.state().y >= -Ps2Mouse::kFarthest);
}

TEST_CASE("in remote mode a mouse reports when it is asked") {
  Ps2Mouse mouse;
  ask(mouse, {0xf4, 0xf0});
  mouse.move({.x = 4}, 1);
  REQUIRE(take(mouse).empty());
  REQUIRE(ask(mouse, {0xeb}) == Bytes{kAck, 0x09, 4, 0});
  REQUIRE(ask(mouse, {0xea}) == Bytes{kAck});
  mouse.move({.x = 1}, 1);
  REQUIRE(take(mouse) == Bytes{0x09, 1, 0});
}

TEST_CASE("switching reports off forgets the rest of one") {
  Ps2Mouse mouse;
  ask(mouse, {0xf4});
  mouse.move({.x = 1}, 0);
  REQUIRE(mouse.send());
  REQUIRE(ask(mouse, {0xf5}) == Bytes{kAck});
  REQUIRE(take(mouse).empty());
}
