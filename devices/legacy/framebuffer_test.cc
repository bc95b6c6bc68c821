#include "devices/legacy/framebuffer.h"

#include <array>
#include <cstring>

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using display::Rows;
using display::Size;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;

namespace {

struct Fixture : FakeEnv {
  Framebuffer screen;

  explicit Fixture(Size mode = {1024, 768}, const Framebuffer::State& state = {})
      : screen("screen", env, mode, state) {}
  dev::testing::FakeSlots::Slot& slot() { return *slots.table.at(layout::kFramebuffer); }
  std::vector<Rows> all() const { return {{0, screen.size().height}}; }
};

uint8_t first_byte(const Framebuffer& screen, uint16_t row) {
  return static_cast<uint8_t>(screen.row(row)[0]);
}

}  // namespace

TEST_CASE("a framebuffer keeps the state contract") {
  const Framebuffer::State empty{.width = 320, .height = 200};
  Framebuffer::State busy = empty;
  busy.pixels.assign(size_t{320} * 200 * 4, 0x5a);
  vireo::testing::check_state_contract<Framebuffer::State>({{}, empty, busy});
  Fixture machine({320, 200}, busy);
  REQUIRE(state_of(machine.screen) == busy);
  REQUIRE(first_byte(machine.screen, 199) == 0x5a);
  machine.turns.run(machine.screen.stop());
  machine.turns.run(machine.screen.stop());
  machine.screen.reset();
  REQUIRE(state_of(machine.screen) == empty);
  REQUIRE(first_byte(machine.screen, 199) == 0);
}

TEST_CASE("a framebuffer refuses modes and states that cannot be") {
  REQUIRE_THROWS_WITH(Fixture({319, 200}), "a screen has 320x200 to 7680x4320 pixels, not 319x200");
  REQUIRE_THROWS_AS(Fixture({320, 199}), ConfigError);
  REQUIRE_THROWS_AS(Fixture({7681, 200}), ConfigError);
  REQUIRE_THROWS_AS(Fixture({320, 4321}), ConfigError);
  REQUIRE_NOTHROW(Fixture({7680, 4320}));
  REQUIRE_THROWS_WITH(Fixture({640, 480}, {.width = 800, .height = 600}),
                      "the snapshot is of a machine whose screen has 800x600 pixels");
  REQUIRE_THROWS_AS(Fixture({640, 480}, {.width = 640, .height = 480, .pixels = {1, 2, 3}}),
                    StateError);
}

TEST_CASE("the slot has whole pages, of which rows are parts") {
  Fixture machine({322, 201});
  REQUIRE(machine.slot().host.size() % kPageSize == 0);
  REQUIRE(machine.slot().host.size() - size_t{322} * 201 * 4 < kPageSize);
  REQUIRE(machine.screen.row(200).data() == machine.slot().host.data() + size_t{200} * 322 * 4);
  REQUIRE(machine.screen.row(200).size() == 322 * 4);
  const LinearFramebuffer told = machine.screen.boot_information();
  REQUIRE(told.address == layout::kFramebuffer);
  REQUIRE((told.width == 322 && told.height == 201));
}

TEST_CASE("the first look sees everything, the next what was written") {
  Fixture machine;
  REQUIRE(machine.slot().calls == 0);
  REQUIRE(machine.screen.take_changes() == machine.all());
  REQUIRE(machine.screen.take_changes().empty());
  machine.slot().write(0);
  machine.slot().write(1);
  machine.slot().write(64);
  machine.slot().write(767);
  REQUIRE(machine.screen.take_changes() == std::vector<Rows>{{0, 2}, {64, 1}, {767, 1}});
  REQUIRE(machine.screen.take_changes().empty());
}

TEST_CASE("what the guest writes before the log begins is in the first look") {
  Fixture machine;
  machine.slot().write(3);
  REQUIRE(machine.screen.take_changes() == machine.all());
}

// For every mode: the rows told are in order and apart, and cover each page's.
TEST_CASE("pages are told as the rows they touch, whatever the width") {
  for (const Size mode : {Size{320, 200}, {800, 600}, {1000, 333}, {1366, 768}, {2560, 300}}) {
    CAPTURE(mode.width);
    Fixture machine(mode);
    machine.screen.take_changes();
    const size_t pages = machine.slot().host.size() / kPageSize;
    const size_t stride = size_t{mode.width} * 4;
    for (size_t page = 0; page < pages; ++page) {
      machine.slot().write(page);
      const auto changes = machine.screen.take_changes();
      REQUIRE(changes.size() == 1);
      const Rows rows = changes.front();
      const size_t end = size_t{rows.first} + rows.count;
      REQUIRE(rows.first == page * kPageSize / stride);
      REQUIRE((end == mode.height || end * stride >= (page + 1) * kPageSize));
      REQUIRE((end - 1) * stride < (page + 1) * kPageSize);
      REQUIRE(end <= mode.height);
    }
    for (size_t page = 0; page < pages; page += 3) machine.slot().write(page);
    size_t end = 0;
    for (const Rows rows : machine.screen.take_changes()) {
      REQUIRE((end == 0 || rows.first > end));
      REQUIRE(rows.count > 0);
      end = size_t{rows.first} + rows.count;
    }
    REQUIRE(end <= mode.height);
  }
}

TEST_CASE("the log ends when nobody looks any more, and who comes back sees everything") {
  Fixture machine;
  const auto look = [&] { return machine.screen.take_changes(); };
  look();
  for (int i = 0; i < 5; ++i) {
    machine.turns.advance(Framebuffer::kPatience - std::chrono::milliseconds(1));
    REQUIRE(machine.slot().logging);
    look();
  }
  machine.turns.advance(2 * Framebuffer::kPatience);
  machine.turns.advance(2 * Framebuffer::kPatience);
  REQUIRE_FALSE(machine.slot().logging);
  const size_t calls = machine.slot().calls;
  machine.turns.advance(100 * Framebuffer::kPatience);
  REQUIRE(machine.slot().calls == calls);
  machine.slot().write(7);
  REQUIRE(look() == machine.all());
  machine.slot().write(7);
  REQUIRE(look() == std::vector<Rows>{{7, 1}});
}

TEST_CASE("a reset changes everything") {
  Fixture machine;
  machine.screen.take_changes();
  machine.screen.reset();
  REQUIRE(machine.screen.take_changes() == machine.all());
  REQUIRE(machine.screen.take_changes().empty());
}

TEST_CASE("without a log everything may have changed") {
  Fixture machine;
  machine.slot().refuses = true;
  for (int i = 0; i < 3; ++i) REQUIRE(machine.screen.take_changes() == machine.all());
}

TEST_CASE("the slot goes with the framebuffer") {
  FakeEnv machine;
  {
    const Framebuffer screen("screen", machine.env, {640, 480});
    REQUIRE(machine.slots.table.size() == 1);
  }
  REQUIRE(machine.slots.table.empty());
}
