// Repairs never give guest data up, see what the specification forbids, and take time and memory by
// what the image holds, not by what it claims.
#include <catch2/catch.hpp>

#include "blockdev/testing/qcow2_fixture.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using namespace vireo::blk::qcow2;
using Catch::Matchers::Contains;

namespace {

constexpr uint64_t kCluster = 4096;
constexpr uint64_t kDisk = 4 * 1024 * 1024;

// An image with a cluster of data, a snapshot of it, and a newer cluster in its place.
class Patient {
 public:
  explicit Patient(uint32_t version = 3) {
    storage = world.create({.size = kDisk, .cluster_size = kCluster, .version = version});
    auto image = world.open(storage);
    REQUIRE_FALSE(world.fill(*image, 0, kCluster, 1));
    REQUIRE_FALSE(block_on(world.loop, image->create_snapshot("s")));
    REQUIRE_FALSE(world.fill(*image, 0, kCluster, 2));
    close(std::move(image));
  }
  uint64_t get(uint64_t at) const { return load_be64(storage->bytes.data() + at); }
  void put(uint64_t at, uint64_t value) { store_be64(storage->bytes.data() + at, value); }
  uint64_t l1() const { return get(40); }
  uint64_t l2() const { return get(l1()) & kOffsetMask; }
  uint64_t snapshots() const { return get(64); }

  std::unique_ptr<Qcow2> open(bool read_only = false) {
    return world.open(storage, {.read_only = read_only, .for_repair = true});
  }
  void close(std::unique_ptr<Qcow2> image) { REQUIRE_FALSE(block_on(world.loop, image->close())); }
  CheckResult check(Repair repair = Repair::none) {
    auto image = open(repair == Repair::none);
    const CheckResult result = block_on(world.loop, image->check(repair));
    close(std::move(image));
    return result;
  }
  // The snapshot's entry without extra data, as programs before the third version wrote it.
  void strip_extra() {
    std::byte* const entry = storage->bytes.data() + snapshots();
    constexpr size_t kFixed = 40, kExtra = 16, kNames = 2;  // "1" and "s"
    std::copy_n(entry + kFixed + kExtra, kNames, entry + kFixed);
    std::fill_n(entry + kFixed + kNames, kExtra, std::byte{0});
    std::fill_n(entry + 36, 4, std::byte{0});
  }

  World world;
  std::shared_ptr<Storage> storage;
};

}  // namespace

TEST_CASE("reserved bits of the tables are corruptions that no repair hides") {
  Patient patient;
  REQUIRE(patient.check().corruptions == 0);
  SECTION("L1") {
    patient.put(patient.l1(), patient.get(patient.l1()) | (uint64_t{1} << 58));
  }
  SECTION("L2") {
    patient.put(patient.l2(), patient.get(patient.l2()) | 4);
  }
  SECTION("a flag without a table") {
    patient.put(patient.l1() + 8, kCopied);
  }
  REQUIRE(patient.check().corruptions == 1);
  REQUIRE(patient.check().errors == 0);
  REQUIRE_FALSE(patient.check(Repair::all).clean());
  REQUIRE(patient.check().corruptions == 1);
}

TEST_CASE("reserved bits of the refcount table are repaired") {
  Patient patient;
  patient.put(patient.get(48), patient.get(patient.get(48)) | 8);
  REQUIRE(patient.check().corruptions == 1);
  REQUIRE(patient.check(Repair::all).clean());
  REQUIRE(patient.check().corruptions == 0);
}

TEST_CASE(
    "a refcount block in a cluster of something else is built anew, and harms nothing there") {
  Patient patient;
  const uint64_t data = patient.get(patient.l2()) & kOffsetMask;
  SECTION("of data") {
    patient.put(patient.get(48) + 8, data);
  }
  SECTION("of a snapshot's L1 table") {
    patient.put(patient.get(48) + 8, patient.get(patient.snapshots()));
  }
  SECTION("the only one") {
    patient.put(patient.get(48), data);
  }
  const std::vector<std::byte> before(
      patient.storage->bytes.begin() + static_cast<int64_t>(data),
      patient.storage->bytes.begin() + static_cast<int64_t>(data + kCluster));
  REQUIRE(patient.check().corruptions > 0);
  REQUIRE(patient.check(Repair::all).clean());
  CHECK(patient.check().corruptions == 0);
  CHECK(patient.check().leaks == 0);
  CHECK(std::equal(before.begin(), before.end(),
                   patient.storage->bytes.begin() + static_cast<int64_t>(data)));
  auto image = patient.open(true);
  CHECK(patient.world.read(*image, 0, 1)[0] == std::byte{2});
  patient.close(std::move(image));
}

TEST_CASE("a refcount table that is lost is built anew") {
  Patient patient;
  SECTION("elsewhere") {
    patient.put(48, GENERATE(uint64_t{0}, uint64_t{1} << 40, uint64_t{1} << 60));
  }
  SECTION("in part") {
    patient.put(56, (uint64_t{0x400} << 32) | 1);  // clusters of the table; one snapshot
  }
  const std::vector<std::byte> header(patient.storage->bytes.begin(),
                                      patient.storage->bytes.begin() + 72);
  CHECK_THROWS_AS(patient.world.open(patient.storage), ConfigError);
  auto image = patient.open(true);
  CHECK(patient.world.read(*image, 0, 1)[0] == std::byte{2});
  patient.close(std::move(image));
  CHECK(patient.check().corruptions > 0);
  CHECK(std::equal(header.begin(), header.end(), patient.storage->bytes.begin()));
  REQUIRE(patient.check(Repair::all).clean());
  CHECK(patient.check().corruptions == 0);
  CHECK(patient.check().leaks == 0);
  image = patient.world.open(patient.storage);
  CHECK(patient.world.read(*image, 0, 1)[0] == std::byte{2});
  patient.close(std::move(image));
}

TEST_CASE("a data cluster that leads nowhere stays as it is") {
  Patient patient;
  const uint64_t before = patient.get(patient.l2());
  const uint64_t wrong = GENERATE(uint64_t{1} << 40, uint64_t{0x200});
  patient.put(patient.l2(), before + wrong);
  REQUIRE_FALSE(patient.check(Repair::all).clean());
  REQUIRE((patient.get(patient.l2()) & kOffsetMask) == ((before + wrong) & kOffsetMask));
}

TEST_CASE("a zero cluster goes on without a host cluster that leads nowhere") {
  Patient patient;
  patient.put(patient.l2(), (uint64_t{1} << 40) | kZeroFlag);
  REQUIRE(patient.check(Repair::all).clean());
  REQUIRE(patient.get(patient.l2()) == kZeroFlag);
  REQUIRE(patient.check().corruptions == 0);
}

TEST_CASE("nothing is let go while a table cannot be read") {
  Patient patient;
  const uint64_t wrong = GENERATE(0, 1, 2);
  if (wrong == 0) patient.put(patient.snapshots(), 0x123);              // its L1 table's place
  if (wrong == 1) patient.put(patient.snapshots(), uint64_t{1} << 40);  // beyond the file
  if (wrong == 2) patient.storage->bytes[patient.snapshots() + 8] = std::byte{0xff};  // its length
  CAPTURE(wrong);
  const CheckResult found = patient.check();
  REQUIRE(found.errors == 0);
  REQUIRE(found.corruptions > 0);
  REQUIRE(found.leaks > 0);
  const CheckResult repaired = patient.check(Repair::all);
  REQUIRE(repaired.leaks_fixed == 0);
  REQUIRE_FALSE(repaired.clean());
  REQUIRE(patient.check().leaks == found.leaks);
}

TEST_CASE("flags follow the counts when leaks are repaired") {
  Patient patient;
  // The snapshot goes without its references: its clusters leak, and the shared ones are single.
  patient.put(60, 0);  // nb_snapshots, and the place of the table that follows
  patient.put(64, 0);
  REQUIRE(patient.check().leaks > 0);
  REQUIRE(patient.check(Repair::leaks).clean());
  REQUIRE(patient.check().corruptions == 0);
  REQUIRE(patient.check().leaks == 0);
}

TEST_CASE("a snapshot entry without a disk size is incomplete in version 3 alone") {
  const uint32_t version = GENERATE(2u, 3u);
  Patient patient(version);
  patient.strip_extra();
  REQUIRE(patient.check().corruptions == (version == 3 ? 1 : 0));
  REQUIRE(patient.check(Repair::all).clean());
  REQUIRE(patient.check().corruptions == 0);
  auto image = patient.open();
  REQUIRE(image->snapshots().front().disk_size == kDisk);
  patient.close(std::move(image));
}

TEST_CASE("a snapshot entry without a disk size is written back with one") {
  Patient patient(2);
  patient.strip_extra();
  auto image = patient.open();
  REQUIRE_FALSE(block_on(patient.world.loop, image->create_snapshot("t")));
  patient.close(std::move(image));
  image = patient.open();
  REQUIRE(image->snapshots().front().complete);
  REQUIRE(image->snapshots().front().disk_size == kDisk);
  REQUIRE_FALSE(block_on(patient.world.loop, image->apply_snapshot("s")));
  REQUIRE(image->limits().size == kDisk);
  CHECK(patient.world.read(*image, 0, kCluster) == std::vector(kCluster, std::byte{1}));
  patient.close(std::move(image));
}

TEST_CASE("a table is read once, however many entries lead to it") {
  World world;
  const auto storage = world.create({.size = uint64_t{1} << 33, .cluster_size = 512});
  const Header header = world.open(storage, {.read_only = true})->header();
  const uint64_t table = storage->bytes.size();
  storage->resize(table + 512);
  for (uint64_t i = 0; i < header.l1_entries; ++i)
    store_be64(storage->bytes.data() + header.l1_offset + i * 8, table);
  auto image = world.open(storage, {.read_only = true, .for_repair = true});
  storage->operations = 0;
  const CheckResult result = block_on(world.loop, image->check(Repair::none));
  REQUIRE(result.corruptions > 0);
  REQUIRE(storage->operations < 20000);  // the refcounts of the L1 table, not 2^18 entries
  REQUIRE_FALSE(block_on(world.loop, image->close()));
}

TEST_CASE("clusters of a data file carry the flag of what is used once") {
  World world;
  const auto data = std::make_shared<Storage>();
  const auto storage = world.create({.size = kDisk, .cluster_size = kCluster}, data);
  const auto open = [&](bool for_repair) {
    return world.open(storage, {.for_repair = for_repair}, std::make_unique<ScriptedMemory>(data));
  };
  auto image = open(false);
  REQUIRE_FALSE(world.fill(*image, kCluster, kCluster, 1));
  REQUIRE_FALSE(block_on(world.loop, image->close()));
  const uint64_t l1 = load_be64(storage->bytes.data() + 40);
  std::byte* const entry =
      storage->bytes.data() + (load_be64(storage->bytes.data() + l1) & kOffsetMask) + 8;
  store_be64(entry, load_be64(entry) & ~kCopied);
  image = open(true);
  CHECK(block_on(world.loop, image->check(Repair::none)).corruptions == 1);
  CHECK(block_on(world.loop, image->check(Repair::all)).corruptions_fixed == 1);
  CHECK(block_on(world.loop, image->check(Repair::none)).clean());
  CHECK(world.read(*image, kCluster, kCluster) == std::vector(kCluster, std::byte{1}));
  REQUIRE_FALSE(block_on(world.loop, image->close()));
}

TEST_CASE("opening an image that was not closed can be told to end") {
  Patient patient;
  patient.storage->bytes[79] = std::byte{1};  // the dirty bit
  unsigned asked = 0;
  const auto stop = [&](uint64_t, uint64_t) { return ++asked == 0; };
  REQUIRE_THROWS_WITH(patient.world.open(patient.storage, {.progress = stop}), Contains("cancel"));
  REQUIRE(asked == 1);
  auto image = patient.world.open(patient.storage);
  patient.close(std::move(image));
  REQUIRE(patient.storage->bytes[79] == std::byte{0});
}

TEST_CASE("dirty bitmaps that writing makes stale are named once") {
  World world;
  const auto storage = world.create({.size = kDisk, .cluster_size = kCluster});
  storage->bytes[95] = std::byte{1};  // autoclear: bitmaps
  std::vector<std::string> said;
  const Host host{
      .loop = world.loop,
      .pool = world.pool,
      .log = Logger{LogLevel::warn, [&](LogLevel, std::string_view, std::string_view text) {
                      said.emplace_back(text);
                    }}};
  const auto open = [&] {
    return block_on(world.loop, open_qcow2(host, std::make_unique<ScriptedMemory>(storage),
                                           {.path = "test.qcow2"}, nullptr));
  };
  // A directory that is not one: nobody knows what was lost.
  const size_t extension = 112;
  std::vector<std::byte> bytes(32);
  store_be64(bytes.data(), (uint64_t{kExtensionBitmaps} << 32) | 24);
  store_be64(bytes.data() + 8, uint64_t{1} << 32);
  store_be64(bytes.data() + 16, 4096);
  store_be64(bytes.data() + 24, uint64_t{1} << 40);
  std::copy(bytes.begin(), bytes.end(), storage->bytes.begin() + static_cast<ptrdiff_t>(extension));
  for (int i = 0; i < 2; ++i) {
    auto image = open();
    REQUIRE_FALSE(block_on(world.loop, image->close()));
  }
  REQUIRE(said.size() == 1);
  REQUIRE_THAT(said.front(), Contains("bitmaps"));
  REQUIRE(storage->bytes[95] == std::byte{0});
}
