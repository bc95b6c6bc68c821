#include "devices/firmware/ramfb.h"

#include <catch2/catch.hpp>

#include "devices/legacy/framebuffer.h"
#include "devices/testing/fake_env.h"
#include "vmm/base/bytes.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using display::Rows;
using display::Size;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;

namespace {

constexpr uint32_t kXr24 = 0x34325258;
constexpr uint64_t kPixels = 0x10000;

struct Fixture : FakeEnv {
  Framebuffer before{"screen", env, {640, 480}};
  Ramfb screen;

  explicit Fixture(const Ramfb::State& state = {}) : screen("ramfb", env, before, state) {}
  // Whether the guest may.
  bool set(uint64_t address, uint32_t width, uint32_t height, uint32_t stride,
           uint32_t fourcc = kXr24) {
    ByteWriter file;
    file.put(be64(address));
    for (const uint32_t word : {fourcc, 0U, width, height, stride}) file.put(be32(word));
    const bool taken = screen.set(file.take());
    turns.settle();
    return taken;
  }
};

}  // namespace

TEST_CASE("viewers see the guest's RAM from where it says, until a reset") {
  Fixture machine;
  CHECK(machine.screen.size() == Size{640, 480});
  CHECK(machine.screen.row(479).size() == 640 * 4);
  machine.screen.take_changes();
  REQUIRE(machine.set(kPixels, 320, 200, 2000));
  CHECK(machine.screen.size() == Size{320, 200});
  REQUIRE(machine.memory.write(kPixels + 2000 * 199, le32(0x123456)));
  CHECK(ByteReader(machine.screen.row(199)).get<le32>() == 0x123456);
  CHECK(machine.screen.row(199).size() == 320 * 4);
  CHECK(machine.screen.take_changes() == std::vector<Rows>{{0, 200}});
  CHECK(machine.screen.take_changes() == std::vector<Rows>{{0, 200}});
  machine.screen.reset();
  CHECK(machine.screen.size() == Size{640, 480});
}

TEST_CASE("rows follow one another when the guest says nothing else") {
  Fixture machine;
  REQUIRE(machine.set(kPixels, 320, 200, 0));
  CHECK(state_of(machine.screen) == Ramfb::State{kPixels, 320, 200, 1280});
}

TEST_CASE("what is no framebuffer changes nothing") {
  Fixture machine;
  const auto refused = [&](uint64_t address, uint32_t width, uint32_t height, uint32_t stride,
                           uint32_t fourcc = kXr24) {
    CHECK_FALSE(machine.set(address, width, height, stride, fourcc));
    CHECK(machine.screen.size() == Size{640, 480});
  };
  constexpr uint32_t kMost = ~0U;
  refused(kPixels, 320, 200, 1280, kXr24 + 1);
  refused(kPixels, 319, 200, 1280);
  refused(kPixels, 320, 4321, 1280);
  refused(kPixels, 320 + 65536, 200, 0);
  refused(kPixels, 320, 200, 1279);
  refused(kPixels, 320, 200, kMost);
  refused(kPixels, kMost, kMost, kMost);
  refused(2 * MiB - 320 * 200 * 4 + 1, 320, 200, 0);
  refused(~uint64_t{0}, 320, 200, 0);
  CHECK(machine.set(2 * MiB - 320 * 200 * 4, 320, 200, 0));
  CHECK_FALSE(machine.screen.set({}));
}

TEST_CASE("a framebuffer in RAM keeps the state contract") {
  const Ramfb::State used{kPixels, 320, 200, 1280};
  vireo::testing::check_state_contract<Ramfb::State>({{}, used});
  Fixture machine(used);
  CHECK(state_of(machine.screen) == used);
  machine.screen.reset();
  CHECK(state_of(machine.screen) == Ramfb::State{});
  CHECK_THROWS_AS(Fixture({2 * MiB, 320, 200, 1280}), StateError);
  CHECK_THROWS_AS(Fixture({kPixels, 0, 200, 1280}), StateError);
}
