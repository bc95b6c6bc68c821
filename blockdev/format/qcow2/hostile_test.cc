// Images whose tables lie on top of each other or lead to themselves: whatever a guest does with
// them, none of their tables is overwritten with its data or given away. The first contradiction
// marks the image as damaged and ends writing.
#include <catch2/catch.hpp>

#include "blockdev/testing/qcow2_fixture.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using namespace vireo::blk::qcow2;

namespace {

constexpr uint64_t kCluster = 4096;
constexpr uint64_t kDisk = 8 * 1024 * 1024;  // four L2 tables
constexpr uint8_t kGuestByte = 0xab;

// An image with data in two L2 tables and a snapshot, and the places of its tables.
struct Patient {
  explicit Patient(Qcow2CreateOptions options = {.size = kDisk, .cluster_size = kCluster}) {
    storage = world.create(options);
    auto image = world.open(storage);
    REQUIRE_FALSE(world.fill(*image, 0, 3 * kCluster, 1));
    REQUIRE_FALSE(block_on(world.loop, image->create_snapshot("s")));
    REQUIRE_FALSE(world.fill(*image, 0, 3 * kCluster, 2));
    REQUIRE_FALSE(world.fill(*image, kDisk / 4, 3 * kCluster, 3));
    const ZeroFlags keep{.may_unmap = false};
    REQUIRE_FALSE(block_on(world.loop, image->zero(kDisk / 4, kCluster, keep)));
    header = image->header();
    snapshot_l1 = image->snapshots().front().l1_offset;
    REQUIRE_FALSE(block_on(world.loop, image->close()));
    l2 = get(header.l1_offset) & kOffsetMask;
    other_l2 = get(header.l1_offset + 8) & kOffsetMask;
    block = get(header.refcount_table_offset);
  }
  uint64_t get(uint64_t at) const { return load_be64(storage->bytes.data() + at); }
  void put(uint64_t at, uint64_t value) { store_be64(storage->bytes.data() + at, value); }
  void set_count(uint64_t cluster, uint64_t count) {
    set_refcount(std::span(storage->bytes).subspan(block, kCluster), cluster / kCluster, 4, count);
  }
  std::vector<uint64_t> tables() const {
    return {0,
            header.l1_offset,
            header.refcount_table_offset,
            header.snapshots_offset,
            l2,
            other_l2,
            snapshot_l1,
            block};
  }

  World world;
  std::shared_ptr<Storage> storage;
  Header header;
  uint64_t l2 = 0, other_l2 = 0, block = 0, snapshot_l1 = 0;
};

// Everything a guest and the tools can do, all over the disk.
void use(World& world, Qcow2& image) {
  for (const uint64_t at : {uint64_t{0}, kDisk / 4, kDisk / 2}) {
    (void)world.fill(image, at, 2 * kCluster, kGuestByte);
    (void)world.fill(image, at + 100, 1000, kGuestByte);
    (void)block_on(world.loop, image.flush());
    (void)block_on(world.loop, image.zero(at, kCluster, {.may_unmap = false}));
    (void)world.fill(image, at, kCluster, kGuestByte);
    (void)block_on(world.loop, image.discard(at, 3 * kCluster));
    (void)block_on(world.loop, image.flush());
    (void)world.fill(image, at, 3 * kCluster, kGuestByte);
  }
  (void)block_on(world.loop, image.flush());
  (void)block_on(world.loop, image.create_snapshot("more"));
  (void)block_on(world.loop, image.apply_snapshot("s"));
  (void)block_on(world.loop, image.delete_snapshot("s"));
  (void)block_on(world.loop, image.resize(kDisk / 2));
  (void)block_on(world.loop, image.resize(2 * kDisk));
  (void)block_on(world.loop, image.close());
}

bool holds_guest_bytes(const Storage& storage, uint64_t cluster) {
  const auto bytes = std::span(storage.bytes).subspan(cluster, kCluster);
  return std::search_n(bytes.begin(), bytes.end(), 64, std::byte{kGuestByte}) != bytes.end();
}

// Not even an entry of it is gone: what was not zero is not zero.
bool lost_entries(const std::vector<std::byte>& before, const Storage& storage, uint64_t cluster) {
  const auto all_zeros = [](std::span<const std::byte> bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
  };
  return !all_zeros(std::span(before).subspan(cluster, kCluster)) &&
         all_zeros(std::span(storage.bytes).subspan(cluster, kCluster));
}

void check_survival(Patient& patient) {
  const std::vector<std::byte> before = patient.storage->bytes;
  auto image = patient.world.open(patient.storage);
  use(patient.world, *image);
  for (const uint64_t table : patient.tables()) {
    CAPTURE(table);
    CHECK_FALSE(holds_guest_bytes(*patient.storage, table));
    CHECK_FALSE(lost_entries(before, *patient.storage, table));
  }
  const std::error_code error = patient.world.fill(*image, kDisk / 2, 512, kGuestByte);
  CHECK(error == std::errc::io_error);
  CHECK(block_on(patient.world.loop, image->flush()) == std::errc::io_error);
  if (patient.header.version < 3) return;
  CHECK((load_be64(patient.storage->bytes.data() + 72) & kIncompatibleCorrupt) != 0);
  CHECK_THROWS_WITH(patient.world.open(patient.storage), Catch::Matchers::Contains("damaged"));
  patient.world.open(patient.storage, {.read_only = true});
}

}  // namespace

TEST_CASE("data that is mapped to a table never overwrites it") {
  const auto which = GENERATE(range<size_t>(1, 8));
  Patient patient;
  const uint64_t target = patient.tables()[which];
  const uint64_t flags = GENERATE(as<uint64_t>{}, kCopied, kCopied | kZeroFlag);
  CAPTURE(target, flags);
  for (const uint64_t at : {patient.l2, patient.other_l2}) patient.put(at, target | flags);
  check_survival(patient);
}

TEST_CASE("a table that lies on another is not written") {
  Patient patient;
  SECTION("an L2 table on the active L1 table") {
    patient.put(patient.header.l1_offset, patient.header.l1_offset | kCopied);
  }
  SECTION("an L2 table on a refcount block") {
    patient.put(patient.header.l1_offset, patient.block | kCopied);
  }
  SECTION("an L2 table on the refcount table") {
    patient.put(patient.header.l1_offset, patient.header.refcount_table_offset | kCopied);
  }
  SECTION("an L2 table on a snapshot's L1 table") {
    patient.put(patient.header.l1_offset, patient.snapshot_l1 | kCopied);
  }
  SECTION("an L2 table for two parts of the disk") {
    patient.put(patient.header.l1_offset, patient.other_l2 | kCopied);
  }
  SECTION("a refcount block on an L2 table") {
    patient.put(patient.header.refcount_table_offset, patient.l2);
  }
  SECTION("a refcount block on the refcount table") {
    patient.put(patient.header.refcount_table_offset, patient.header.refcount_table_offset);
  }
  SECTION("a refcount block for two parts of the file") {
    patient.put(patient.header.refcount_table_offset + 8, patient.block);
  }
  SECTION("a refcount block outside the file") {
    patient.put(patient.header.refcount_table_offset, uint64_t{1} << 50);
  }
  check_survival(patient);
}

// The header cannot be: nobody looks for room before cluster 1.
TEST_CASE("a table that counts as free is not given away") {
  const auto which = GENERATE(range<size_t>(1, 8));
  Patient patient;
  const uint64_t table = patient.tables()[which];
  CAPTURE(table);
  patient.set_count(table, 0);
  for (uint64_t at = 0; at < 32; ++at)  // what it finds free first
    if (patient.storage->bytes.size() <= at * kCluster) patient.set_count(at * kCluster, 0);
  check_survival(patient);
}

TEST_CASE("tables that the header names on top of each other end writing at once") {
  Patient patient;
  const uint64_t at =
      GENERATE(as<uint64_t>{}, 40, 48, 64);  // L1 table, refcount table, snapshot table
  const uint64_t other = at == 48 ? patient.header.l1_offset : patient.header.refcount_table_offset;
  CAPTURE(at);
  patient.put(at, other);
  std::unique_ptr<Qcow2> image;
  try {
    image = patient.world.open(patient.storage);
  } catch (const std::exception&) {
    return;  // the snapshot table made no sense
  }
  CHECK(patient.world.fill(*image, 0, 512, kGuestByte) == std::errc::io_error);
  CHECK(block_on(patient.world.loop, image->create_snapshot("x")) == std::errc::io_error);
  (void)block_on(patient.world.loop, image->close());
  CHECK_FALSE(holds_guest_bytes(*patient.storage, other));
}

TEST_CASE("version 2 cannot be marked as damaged, and yet nothing more is written") {
  Patient patient({.size = kDisk, .cluster_size = kCluster, .version = 2});
  patient.put(patient.l2, patient.l2 | kCopied);
  check_survival(patient);
}

TEST_CASE("an entry that leads beyond the end of the file takes no data") {
  Patient patient;
  patient.put(patient.l2, (uint64_t{1} << 50) | kCopied);
  auto image = patient.world.open(patient.storage);
  const size_t size = patient.storage->bytes.size();
  CHECK(patient.world.fill(*image, 0, 512, 1) == std::errc::io_error);
  CHECK(patient.world.read(*image, 512, 512) == zeros(512));
  CHECK(patient.storage->bytes.size() == size);
}
