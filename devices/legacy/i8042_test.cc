#include "devices/legacy/i8042.h"

#include <linux/input-event-codes.h>

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

  explicit Fixture(const I8042::State& state = {}, Ps2Devices devices = Ps2Devices::none)
      : controller("i8042", env, devices, state) {
    controller.start();
  }
  explicit Fixture(Ps2Devices devices) : Fixture(I8042::State{}, devices) {}
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
                    .output = {.value = 0x55, .status = Chip::kOutputFull | Chip::kTimeout},
                    .waiting = {0x1c, Chip::kOutputFull, true},
                    .pending_command = 0x60,
                    .release_next = true,
                    .self_tested = true,
                    .command_last = true,
                    .keyboard = {.spoken_to = true, .down = {KEY_A}},
                    .mouse = {.reporting = true, .x = 3}};
  vireo::testing::check_state_contract<I8042::State>({{}, busy});
  Fixture machine(busy, Ps2Devices::keyboard_and_mouse);
  REQUIRE(state_of(machine.controller) == busy);
  machine.controller.reset();
  REQUIRE(state_of(machine.controller) == I8042::State{});
  machine.turns.run(machine.controller.stop());
  machine.turns.run(machine.controller.stop());

  const auto refused = [&](auto change) {
    I8042::State wrong = busy;
    change(wrong);
    REQUIRE_THROWS_AS(Chip(Ps2Devices::keyboard_and_mouse, wrong), StateError);
  };
  refused([](auto& state) { state.output.status = 0x81; });
  refused([](auto& state) { state.output.status = Chip::kTimeout; });
  refused([](auto& state) { state.output.status = 0; });  // a byte waits for none
  refused([](auto& state) { state.waiting.of_device = false; });
  refused([](auto& state) { state.keyboard.scan_set = 7; });
  refused([](auto& state) { state.mouse.resolution = 4; });
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

// --- with a keyboard and a mouse ---

namespace {

constexpr auto kPlugged = Ps2Devices::keyboard_and_mouse;
using Bytes = std::vector<uint8_t>;

struct Pc : Fixture {
  using Fixture::Fixture;
  Pc() : Fixture(kPlugged) {}

  // What lies there, as a driver that polls reads it; the mouse's bytes have 0x100.
  std::vector<int> read_all() {
    std::vector<int> bytes;
    for (uint8_t status = in(kCommand); status & Chip::kOutputFull; status = in(kCommand))
      bytes.push_back(in(kData) | (status & Chip::kAuxOutput ? 0x100 : 0));
    return bytes;
  }
  std::vector<int> ask_keyboard(uint8_t byte) {
    out(kData, byte);
    return read_all();
  }
  std::vector<int> ask_mouse(uint8_t byte) {
    out(kCommand, 0xd4);
    return ask_keyboard(byte);
  }
  void set_command_byte(uint8_t value) {
    out(kCommand, 0x60);
    out(kData, value);
  }
  void tap(uint16_t key) {
    controller.key(key, true);
    controller.key(key, false);
  }
  uint64_t keyboard_interrupts() { return lines.take(layout::kGsiKeyboard); }
  uint64_t mouse_interrupts() { return lines.take(layout::kGsiMouse); }
};

}  // namespace

TEST_CASE("plugged devices are in the firmware's tables, and only they") {
  Pc machine;
  REQUIRE(machine.platform.acpi.devices().size() == 2);
  REQUIRE(machine.platform.acpi.devices()[0].hid == "PNP0303");
  REQUIRE(machine.platform.acpi.devices()[0].gsi == 1);
  REQUIRE(machine.platform.acpi.devices()[1].hid == "PNP0F13");
  REQUIRE(machine.platform.acpi.devices()[1].gsi == 12);
  Fixture empty;
  REQUIRE(empty.platform.acpi.devices().empty());
  REQUIRE_FALSE(empty.controller.listens());
}

TEST_CASE("keys arrive translated as firmware leaves it, and raw when it is switched off") {
  Pc machine;
  machine.tap(KEY_A);
  machine.tap(KEY_UP);
  REQUIRE(machine.read_all() == std::vector<int>{0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8});
  machine.set_command_byte(0x05);
  machine.tap(KEY_A);
  REQUIRE(machine.read_all() == std::vector<int>{0x1c, 0xf0, 0x1c});
}

TEST_CASE("the identity of a translated keyboard is translated, too") {
  Pc machine;
  REQUIRE(machine.ask_keyboard(0xf2) == std::vector<int>{0xfa, 0xab, 0x41});
  machine.set_command_byte(0x05);
  REQUIRE(machine.ask_keyboard(0xf2) == std::vector<int>{0xfa, 0xab, 0x83});
}

// i8042.c and psmouse of Linux, in short.
TEST_CASE("a driver finds both devices") {
  Pc machine;
  REQUIRE(machine.command(0x20) == 0x65);
  machine.set_command_byte(0x74);
  machine.out(kCommand, 0xd3);
  machine.out(kData, 0x5a);
  REQUIRE(machine.read_all() == std::vector<int>{0x15a});
  REQUIRE(machine.command(0xa9) == 0x00);
  machine.out(kCommand, 0xa8);
  REQUIRE((machine.command(0x20) & 0x20) == 0);
  machine.out(kCommand, 0xa7);
  REQUIRE((machine.command(0x20) & 0x20) != 0);
  machine.set_command_byte(0x47);
  REQUIRE(machine.ask_keyboard(0xff) == std::vector<int>{0xfa, 0xaa});
  REQUIRE(machine.ask_mouse(0xff) == std::vector<int>{0x1fa, 0x1aa, 0x100});
  REQUIRE(machine.ask_mouse(0xf2) == std::vector<int>{0x1fa, 0x100});
  REQUIRE(machine.ask_mouse(0xf4) == std::vector<int>{0x1fa});
  machine.controller.move({.x = 1, .y = 2}, Ps2Mouse::kLeft);
  REQUIRE(machine.read_all() == std::vector<int>{0x109, 0x101, 0x102});
}

TEST_CASE("each byte is an interrupt, when it lies there") {
  Pc machine;
  machine.set_command_byte(0x47);
  machine.keyboard_interrupts();
  machine.tap(KEY_A);
  REQUIRE(machine.keyboard_interrupts() == 1);
  REQUIRE(machine.keyboard_interrupts() == 0);
  REQUIRE(machine.in(kData) == 0x1e);
  REQUIRE(machine.keyboard_interrupts() == 1);
  REQUIRE(machine.in(kData) == 0x9e);
  REQUIRE(machine.keyboard_interrupts() == 0);
  REQUIRE(machine.ask_mouse(0xf4) == std::vector<int>{0x1fa});
  REQUIRE(machine.mouse_interrupts() == 1);
  REQUIRE(machine.keyboard_interrupts() == 0);
}

TEST_CASE("a byte that lay there before its interrupt was wanted interrupts then") {
  Pc machine;
  machine.set_command_byte(0x44);
  machine.controller.key(KEY_A, true);
  REQUIRE(machine.keyboard_interrupts() == 0);
  machine.set_command_byte(0x45);
  REQUIRE(machine.keyboard_interrupts() == 1);
}

TEST_CASE("an answer of the controller goes ahead of a key, which is not lost") {
  Pc machine;
  machine.controller.key(KEY_A, true);
  machine.keyboard_interrupts();
  REQUIRE(machine.in(kCommand)&Chip::kOutputFull);
  machine.out(kCommand, 0x20);
  REQUIRE(machine.in(kData) == 0x65);
  REQUIRE(machine.keyboard_interrupts() >= 1);
  REQUIRE(machine.read_all() == std::vector<int>{0x1e});
  // Of two answers the second is the one.
  machine.out(kCommand, 0xaa);
  machine.out(kCommand, 0x20);
  REQUIRE(machine.read_all() == std::vector<int>{0x65});
}

TEST_CASE("a port that is switched off keeps its device waiting") {
  Pc machine;
  machine.ask_mouse(0xf4);
  machine.out(kCommand, 0xad);
  machine.out(kCommand, 0xa7);
  machine.controller.key(KEY_A, true);
  machine.controller.move({.x = 1}, 0);
  REQUIRE(machine.read_all().empty());
  machine.out(kCommand, 0xae);
  REQUIRE(machine.read_all() == std::vector<int>{0x1e});
  machine.out(kCommand, 0xa8);
  REQUIRE(machine.read_all() == std::vector<int>{0x108, 0x101, 0x100});
  machine.out(kCommand, 0xad);
  REQUIRE(machine.ask_keyboard(0xee) == std::vector<int>{0xee});  // which switches it on
}

TEST_CASE("while the machine is paused no key changes anything") {
  Pc machine;
  machine.controller.key(KEY_A, true);
  machine.turns.run(machine.controller.stop());
  const I8042::State before = state_of(machine.controller);
  REQUIRE_FALSE(machine.controller.listens());
  machine.controller.key(KEY_B, true);
  machine.controller.key(KEY_A, false);
  machine.controller.release_all_but({});
  machine.controller.move({.x = 1}, 7);
  REQUIRE(state_of(machine.controller) == before);
  machine.keyboard_interrupts();
  machine.controller.start();
  REQUIRE(machine.controller.listens());
  REQUIRE(machine.keyboard_interrupts() == 1);  // the driver may have lost the first
  machine.controller.release_all_but({});
  REQUIRE(machine.read_all() == std::vector<int>{0x1e, 0x9e});
}

TEST_CASE("a saved controller goes on with what it had") {
  Pc first;
  first.ask_keyboard(0xf4);
  first.tap(KEY_A);
  first.tap(KEY_F7);
  REQUIRE(first.in(kData) == 0x1e);
  Pc second(state_of(first.controller), kPlugged);
  REQUIRE(second.read_all() == std::vector<int>{0x9e, 0x41, 0xc1});
}
