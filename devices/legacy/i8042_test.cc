#include "devices/legacy/i8042.h"

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;
using Chip = I8042Chip;

namespace {

constexpr uint16_t kData = layout::kPortI8042Data;
constexpr uint16_t kCommand = layout::kPortI8042Command;

struct Fixture : FakeEnv {
  I8042 controller;

  explicit Fixture(const I8042::State& state = {}) : controller("i8042", env, state) {}
  bool has_output() { return in(kCommand)&Chip::kOutputFull; }
  uint8_t command(uint8_t value) {
    out(kCommand, value);
    REQUIRE(has_output());
    const uint8_t answer = in(kData);
    REQUIRE_FALSE(has_output());
    return answer;
  }
};

}  // namespace

TEST_CASE("a keyboard controller keeps the state contract") {
  I8042::State busy{.command_byte = 0x47,
                    .output = 0x55,
                    .output_status = Chip::kOutputFull | Chip::kAuxOutput,
                    .pending_command = 0x60,
                    .self_tested = true,
                    .command_last = true};
  vireo::testing::check_state_contract<I8042::State>({{}, busy});
  Fixture machine(busy);
  REQUIRE(state_of(machine.controller) == busy);
  machine.controller.reset();
  REQUIRE(state_of(machine.controller) == I8042::State{});
  machine.turns.run(machine.controller.stop());
  machine.turns.run(machine.controller.stop());

  busy.output_status = 0x80;
  REQUIRE_THROWS_AS(Chip(busy), StateError);
}

TEST_CASE("the reset line") {
  Fixture machine;
  SECTION("is pulsed by 0xfe") {
    machine.out(kCommand, 0xfe);
  }
  SECTION("is pulsed with other lines") {
    machine.out(kCommand, 0xf0);
  }
  SECTION("is driven by the output port") {
    machine.out(kCommand, 0xd1);
    machine.out(kData, 0xfe);
  }
  REQUIRE(machine.control.requests == std::vector<std::string>{"reset"});
}

TEST_CASE("what does not touch the reset line does not reset") {
  Fixture machine;
  machine.out(kCommand, 0xff);
  machine.out(kCommand, 0xd1);
  machine.out(kData, 0xdf);
  machine.out(kData, 0xfe);  // to the keyboard
  for (int command = 0; command < 0xf0; ++command)
    machine.out(kCommand, static_cast<uint8_t>(command));
  REQUIRE(machine.control.requests.empty());
}

TEST_CASE("the controller tests itself and keeps its command byte") {
  Fixture machine;
  REQUIRE((machine.in(kCommand)&Chip::kSystemFlag) == 0);
  REQUIRE(machine.command(0xaa) == 0x55);
  REQUIRE((machine.in(kCommand) & (Chip::kSystemFlag | Chip::kCommandLast)) ==
          (Chip::kSystemFlag | Chip::kCommandLast));
  machine.out(kCommand, 0x60);
  machine.out(kData, 0x43);
  REQUIRE((machine.in(kCommand)&Chip::kCommandLast) == 0);
  REQUIRE(machine.command(0x20) == 0x43);
  machine.out(kCommand, 0xad);
  machine.out(kCommand, 0xa7);
  REQUIRE(machine.command(0x20) == 0x73);
  machine.out(kCommand, 0xae);
  machine.out(kCommand, 0xa8);
  REQUIRE(machine.command(0x20) == 0x43);
  REQUIRE(machine.command(0xab) == 0x00);
  REQUIRE(machine.command(0xd0) == 0x03);
  REQUIRE(machine.command(0xc0) == 0x80);
}

TEST_CASE("who looks for a keyboard or a mouse is told at once that there is none") {
  Fixture machine;
  machine.out(kData, 0xf2);  // identify
  REQUIRE((machine.in(kCommand) & (Chip::kOutputFull | Chip::kTimeout)) ==
          (Chip::kOutputFull | Chip::kTimeout));
  REQUIRE(machine.in(kData) == 0xfe);
  machine.out(kCommand, 0xd4);
  machine.out(kData, 0xf2);
  REQUIRE((machine.in(kCommand) & (Chip::kTimeout | Chip::kAuxOutput)) ==
          (Chip::kTimeout | Chip::kAuxOutput));
  REQUIRE(machine.in(kData) == 0xfe);
  // Linux' test for the mouse's port: the loop does not come back as its data.
  machine.out(kCommand, 0xd3);
  machine.out(kData, 0x5a);
  REQUIRE((machine.in(kCommand) & (Chip::kOutputFull | Chip::kAuxOutput)) == Chip::kOutputFull);
  REQUIRE(machine.in(kData) != 0x5a);
  REQUIRE(machine.command(0xa9) != 0x00);
  machine.out(kCommand, 0xd2);
  machine.out(kData, 0x5a);
  REQUIRE(machine.in(kData) == 0x5a);
}

TEST_CASE("the ports between answer nothing") {
  Fixture machine;
  for (uint16_t port = 0x61; port < 0x64; ++port) {
    machine.out(port, 0xfe);
    REQUIRE(machine.in(port) == 0xff);
  }
  REQUIRE(state_of(machine.controller) == I8042::State{});
}
