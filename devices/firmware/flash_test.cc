#include "devices/firmware/flash.h"

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;

TEST_CASE("the firmware's memory is read-only and ends at 4 GiB") {
  FakeEnv machine;
  const std::vector<std::byte> image(128 * KiB, std::byte{7});
  const Flash flash("firmware", machine.env, image);
  const auto& slot = *machine.slots.table.at(4 * GiB - image.size());
  CHECK(slot.read_only);
  CHECK(std::vector(slot.host.begin(), slot.host.end()) == image);
}

TEST_CASE("a snapshot goes on with its own firmware") {
  FakeEnv machine;
  const std::vector<std::byte> image(64 * KiB, std::byte{7});
  Flash::State other{std::vector<uint8_t>(64 * KiB, 9)};
  vireo::testing::check_state_contract<Flash::State>({{}, other});
  {
    const Flash flash("firmware", machine.env, image, other);
    CHECK(state_of(flash) == other);
  }
  other.image.pop_back();
  CHECK_THROWS_AS(Flash("firmware", machine.env, image, other), StateError);
}
