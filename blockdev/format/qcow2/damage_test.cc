// Damaged images: we find what qemu-img finds, and what either of us repairs, both find sound.
// Without qemu-utils installed this says so and passes.
#include <random>

#include <catch2/catch.hpp>

#include "blockdev/testing/qcow2_fixture.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using namespace vireo::blk::qcow2;

namespace {

constexpr uint64_t kCluster = 4096;
constexpr uint64_t kDisk = 4 * 1024 * 1024;

// An image with data and a snapshot, to be damaged.
class Patient {
 public:
  explicit Patient(uint64_t seed) : random_(seed) {
    storage = world.create({.size = kDisk, .cluster_size = kCluster});
    auto image = world.open(storage);
    for (uint64_t i = 0; i < 12; ++i)
      REQUIRE_FALSE(world.fill(*image, random_() % (kDisk - 20000), 1 + random_() % 20000,
                               static_cast<uint8_t>(1 + i)));
    REQUIRE_FALSE(block_on(world.loop, image->create_snapshot("s")));
    REQUIRE_FALSE(world.fill(*image, random_() % (kDisk - 20000), 20000, 99));
    content = world.read(*image, 0, kDisk);
    header = image->header();
    REQUIRE_FALSE(block_on(world.loop, image->close()));
  }
  // Returns whether data can be lost by it.
  bool damage() {
    const uint64_t table = random_l2();
    switch (random_() % 6) {
      case 0:  // more counted than used
      case 1: {
        const uint64_t cluster = random_() % (storage->bytes.size() / kCluster);
        const uint64_t block = get(header.refcount_table_offset);
        set_refcount(std::span(storage->bytes).subspan(block, kCluster), cluster, 4, random_() % 4);
        return false;
      }
      case 2: {  // a flag that is wrong
        const uint64_t entry = used_entry(table);
        put(entry, get(entry) ^ kCopied);
        return false;
      }
      case 3: {  // an entry that leads nowhere
        const uint64_t entry = used_entry(table);
        put(entry, get(entry) | 0x200);
        return true;
      }
      case 4: {
        const uint64_t entry = header.l1_offset + random_() % header.l1_entries * 8;
        if (get(entry) != 0) put(entry, get(entry) ^ kCopied);
        return false;
      }
      default:  // the counts themselves
        put(header.refcount_table_offset, get(header.refcount_table_offset) | 0x200);
        return false;
    }
  }

  World world;
  std::shared_ptr<Storage> storage;
  std::vector<std::byte> content;
  Header header;

 private:
  uint64_t get(uint64_t at) const { return load_be64(storage->bytes.data() + at); }
  void put(uint64_t at, uint64_t value) { store_be64(storage->bytes.data() + at, value); }
  uint64_t random_l2() {
    for (;;) {
      const uint64_t entry = get(header.l1_offset + random_() % header.l1_entries * 8);
      if ((entry & kOffsetMask) != 0) return entry & kOffsetMask;
    }
  }
  uint64_t used_entry(uint64_t table) {
    for (;;) {
      const uint64_t at = table + random_() % (kCluster / 8) * 8;
      if ((get(at) & kOffsetMask) != 0) return at;
    }
  }
  std::mt19937_64 random_;
};

// What 'qemu-img check' exits with.
int verdict(World& world, std::shared_ptr<Storage> storage) {
  auto image = world.open(std::move(storage), {.read_only = true, .for_repair = true});
  const CheckResult found = block_on(world.loop, image->check(Repair::none));
  if (found.errors > 0) return 1;
  return found.corruptions > 0 ? 2 : found.leaks > 0 ? 3 : 0;
}

// qemu-img gives up (1) where it cannot read a part of the counts; we tell what we found.
constexpr int kGaveUp = 1;

void same_verdict(World& world, std::shared_ptr<Storage> storage, const CommandResult& qemu) {
  if (qemu.status == kGaveUp)
    CHECK(verdict(world, std::move(storage)) != 0);
  else
    CHECK(verdict(world, std::move(storage)) == qemu.status);
}

void must_not_crash(const std::string& command) {
  const CommandResult result = run_command(command);
  INFO(command << "\n" << result.output);
  REQUIRE(result.status <= 3);
}

// What leads nowhere stays: its data may still be found by other means.
int repair(World& world, std::shared_ptr<Storage> storage, bool loses) {
  auto image = world.open(storage, {.for_repair = true});
  const CheckResult found = block_on(world.loop, image->check(Repair::all));
  CHECK(found.clean() == !loses);
  REQUIRE_FALSE(block_on(world.loop, image->close()));
  return verdict(world, storage);
}

}  // namespace

TEST_CASE("damage is found and repaired as qemu-img does it") {
  if (!have_qemu()) {
    WARN("qemu-img and qemu-io are not installed: nothing was compared");
    return;
  }
  const uint64_t seed = GENERATE(range<uint64_t>(0, 16));
  CAPTURE(seed);
  Patient patient(seed);
  bool loses = false;
  for (uint64_t i = 0; i < 1 + seed % 3; ++i) loses = patient.damage() || loses;
  const TempDir dir;
  const CommandResult before = qemu_check(*patient.storage, dir);
  INFO(before.output);
  same_verdict(patient.world, std::make_shared<Storage>(*patient.storage), before);

  // What it repairs, be it all or not, we see as it does.
  must_not_crash("cd " + dir.path(".") + " && qemu-img check -f qcow2 -r all check.qcow2");
  auto their_image = std::make_shared<Storage>();
  their_image->load(dir.path("check.qcow2"));
  const CommandResult theirs = qemu_check(*their_image, dir);
  INFO(theirs.output);
  same_verdict(patient.world, their_image, theirs);

  CHECK(repair(patient.world, patient.storage, loses) == (loses ? 2 : 0));
  const CommandResult after = qemu_check(*patient.storage, dir);
  INFO(after.output);
  CHECK(after.status == (loses ? 2 : 0));
  if (loses) return;
  auto image = patient.world.open(patient.storage);
  CHECK((patient.world.read(*image, 0, kDisk) == patient.content));
  REQUIRE_FALSE(block_on(patient.world.loop, image->apply_snapshot("s")));
  REQUIRE_FALSE(block_on(patient.world.loop, image->close()));
}

// A repair may be interrupted too: what is left can be repaired, and nothing more is lost.
TEST_CASE("a repair that is cut short can be done again") {
  const uint64_t seed = GENERATE(range<uint64_t>(100, 106));
  CAPTURE(seed);
  Patient patient(seed);
  bool loses = false;
  for (int i = 0; i < 3; ++i) loses = patient.damage() || loses;
  const Storage damaged = *patient.storage;
  patient.storage->log_writes = true;
  CHECK(repair(patient.world, patient.storage, loses) == (loses ? 2 : 0));
  const auto log = patient.storage->log;
  for (size_t cut = 0; cut <= log.size(); ++cut) {
    CAPTURE(cut);
    auto storage = std::make_shared<Storage>(damaged);
    for (size_t i = 0; i < cut; ++i) {
      if (log[i].kind == Storage::Write::Kind::flush) continue;
      if (log[i].kind == Storage::Write::Kind::resize) {
        storage->resize(log[i].offset);
        continue;
      }
      std::copy(log[i].bytes.begin(), log[i].bytes.end(),
                storage->bytes.begin() + static_cast<ptrdiff_t>(log[i].offset));
    }
    REQUIRE(repair(patient.world, storage, loses) == (loses ? 2 : 0));
    auto image = patient.world.open(storage, {.read_only = true});
    if (!loses) REQUIRE((patient.world.read(*image, 0, kDisk) == patient.content));
  }
}
