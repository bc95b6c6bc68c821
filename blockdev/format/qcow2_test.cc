#include "blockdev/format/qcow2.h"

#include <catch2/catch.hpp>

#include "blockdev/testing/qcow2_fixture.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {
constexpr uint64_t kMiB = 1024 * 1024;
}

TEST_CASE("a new image reads as zeros and keeps what is written") {
  World world;
  const auto storage = world.create({.size = 16 * kMiB});
  auto image = world.open(storage);
  CHECK(image->limits().size == 16 * kMiB);
  CHECK(world.read(*image, 5 * kMiB, 4096) == std::vector<std::byte>(4096));
  REQUIRE_FALSE(world.fill(*image, 5 * kMiB + 512, 1000, 0xab));
  REQUIRE_FALSE(block_on(world.loop, image->close()));
  image = world.open(storage);
  const auto bytes = world.read(*image, 5 * kMiB, 4096);
  CHECK(bytes[511] == std::byte{0});
  CHECK(bytes[512] == std::byte{0xab});
  CHECK(bytes[1511] == std::byte{0xab});
  CHECK(bytes[1512] == std::byte{0});
  REQUIRE_FALSE(block_on(world.loop, image->close()));
  if (!have_qemu()) return;
  const TempDir dir;
  const CommandResult check = qemu_check(*storage, dir);
  INFO(check.output);
  CHECK(check.status == 0);
}
