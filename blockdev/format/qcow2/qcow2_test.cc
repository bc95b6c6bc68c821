#include "blockdev/format/qcow2/qcow2.h"

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

TEST_CASE("the state of a machine lies behind the disk and goes with its snapshots") {
  World world;
  const auto storage = world.create({.size = 16 * kMiB});
  auto image = world.open(storage);
  constexpr uint64_t kFar = uint64_t{1} << 40;
  const Buffer buffer{4096, 4096};
  const auto access = [&](bool write, uint64_t offset, uint8_t byte) {
    std::fill(buffer.bytes().begin(), buffer.bytes().end(), std::byte{byte});
    IoVecs vectors = buffer.vectors(0, 4096);
    return write ? block_on(world.loop, image->write_state(offset, std::move(vectors)))
                 : block_on(world.loop, image->read_state(offset, std::move(vectors)));
  };
  const auto first_byte = [&](uint64_t offset) {
    REQUIRE_FALSE(access(false, offset, 0xff));
    return std::to_integer<int>(buffer.bytes()[0]);
  };
  CHECK(image->state_offset() == 512 * kMiB);
  CHECK(first_byte(kFar) == 0);
  REQUIRE_FALSE(access(true, kFar, 0x11));
  REQUIRE_FALSE(access(true, kFar + 4096, 0x12));
  REQUIRE_FALSE(block_on(world.loop, image->create_snapshot("one")));
  REQUIRE_FALSE(access(true, kFar, 0x22));
  CHECK(first_byte(kFar) == 0x22);
  CHECK(first_byte(kFar + 4096) == 0x12);  // the rest of the cluster was copied
  REQUIRE_FALSE(block_on(world.loop, image->apply_snapshot("one")));
  CHECK(first_byte(kFar) == 0x11);
  CHECK(image->limits().size == 16 * kMiB);
  CHECK(world.read(*image, 0, 4096) == std::vector<std::byte>(4096));
  CHECK(access(true, uint64_t{1} << 61, 0x33) == std::errc::file_too_large);
  REQUIRE_FALSE(block_on(world.loop, image->close()));
  image = world.open(storage);
  CHECK(first_byte(kFar) == 0x11);
  CHECK(block_on(world.loop, image->check(qcow2::Repair::none)).clean());
  REQUIRE_FALSE(block_on(world.loop, image->close()));
}

TEST_CASE("a part of a cluster that is zeroed makes it one of zeros where nothing else shows") {
  World world;
  constexpr uint64_t kCluster = 4096;
  const auto low = world.create({.size = kMiB, .cluster_size = kCluster});
  {
    auto base = world.open(low);
    REQUIRE_FALSE(world.fill(*base, 8 * kCluster, 1024, 0x11));
    REQUIRE_FALSE(block_on(world.loop, base->close()));
  }
  const auto top = world.create(
      {.size = kMiB, .cluster_size = kCluster, .backing_file = "base", .backing_format = "qcow2"});
  auto image = world.open(top, {}, world.open(low, {.read_only = true}));
  const auto zero = [&](uint64_t offset, uint64_t length) {
    REQUIRE_FALSE(block_on(world.loop, image->zero(offset, length, {})));
  };
  const auto kind = [&](uint64_t cluster) {
    return block_on(world.loop, image->layout(cluster * kCluster, kCluster)).value.kind;
  };
  zero(0, 2048);
  zero(7 * kCluster - 1024, 2048);  // in two clusters
  zero(8 * kCluster + 2048, 1024);  // beside what the backing image holds
  CHECK(kind(0) == qcow2::Kind::zero);
  CHECK(kind(1) == qcow2::Kind::unallocated);
  CHECK(kind(6) == qcow2::Kind::zero);
  CHECK(kind(7) == qcow2::Kind::zero);
  CHECK(kind(8) == qcow2::Kind::data);
  CHECK(world.read(*image, 8 * kCluster, 1024) == std::vector<std::byte>(1024, std::byte{0x11}));
  CHECK(world.read(*image, 8 * kCluster + 1024, 3072) == std::vector<std::byte>(3072));
  REQUIRE_FALSE(world.fill(*image, 3072, 512, 0x22));
  zero(0, 1024);  // now it is allocated, and stays so
  CHECK(kind(0) == qcow2::Kind::data);
  CHECK(world.read(*image, 3072, 512) == std::vector<std::byte>(512, std::byte{0x22}));
  REQUIRE_FALSE(block_on(world.loop, image->close()));
}

TEST_CASE("data and zeros whose places lie in a row are overwritten at once") {
  World world;
  const auto storage = world.create({.size = kMiB});
  auto image = world.open(storage);
  constexpr uint64_t kCluster = 64 * 1024;
  REQUIRE_FALSE(world.fill(*image, 0, 4 * kCluster, 0x11));
  const auto zero = [&](uint64_t cluster) {
    return block_on(world.loop, image->zero(cluster * kCluster, kCluster, {}));
  };
  REQUIRE_FALSE(zero(1));
  REQUIRE_FALSE(block_on(world.loop, image->flush()));
  std::vector<uint64_t> lengths;
  storage->fault = [&](Storage::Op op, uint64_t, uint64_t length) {
    if (op == Storage::Op::write) lengths.push_back(length);
    return std::error_code{};
  };
  // From the middle of data to the middle of data: what lies around it is neither read nor written.
  REQUIRE_FALSE(world.fill(*image, kCluster / 2, 3 * kCluster, 0x22));
  CHECK(lengths == std::vector<uint64_t>{3 * kCluster});
  storage->fault = {};
  CHECK(world.read(*image, 0, 1)[0] == std::byte{0x11});
  for (const uint64_t at : {kCluster / 2, kCluster, 2 * kCluster, 7 * kCluster / 2 - 1})
    CHECK(world.read(*image, at, 1)[0] == std::byte{0x22});
  CHECK(world.read(*image, 7 * kCluster / 2, 1)[0] == std::byte{0x11});
  REQUIRE_FALSE(block_on(world.loop, image->close()));
}
