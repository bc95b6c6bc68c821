// Persistent dirty bitmaps: what is recorded, kept over closing and resizing, merged and thrown
// away; what a crash and a damaged directory leave; and QEMU as the second opinion on all of it.
#include <algorithm>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "blockdev/testing/qcow2_fixture.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;

using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;  // begin and end

struct BitmapWorld {
  World world;
  std::shared_ptr<Storage> storage;
  std::unique_ptr<Qcow2> image;

  explicit BitmapWorld(Qcow2CreateOptions options = {.size = 4 * kMiB}) {
    storage = world.create(std::move(options));
    image = world.open(storage);
  }
  template <class T>
  T run(Task<T> task) {
    return block_on(world.loop, std::move(task));
  }
  void reopen(Qcow2Options options = {}) {
    REQUIRE_FALSE(run(image->close()));
    image = world.open(storage, std::move(options));
  }
  void crash() {
    const auto left = std::make_shared<Storage>(*storage);
    REQUIRE_FALSE(run(image->close()));
    storage = left;
    image = world.open(storage);
  }
  // What a stored bitmap calls dirty, neighbours together.
  Ranges dirty(const std::string& name) {
    REQUIRE_FALSE(run(image->close()));
    qcow2::HostFile file(std::make_unique<ScriptedMemory>(storage));
    const qcow2::Header header =
        qcow2::parse_header(storage->bytes, storage->bytes.size(), "test.qcow2");
    const auto directory = run(qcow2::read_bitmaps(file, header));
    REQUIRE_FALSE(directory.error);
    Ranges ranges;
    for (const qcow2::BitmapInfo& info : directory.value.bitmaps) {
      if (info.name != name) continue;
      qcow2::BitmapReader reader(file, header.geometry(), info, header.size);
      for (;;) {
        const auto next = run(reader.next());
        REQUIRE_FALSE(next.error);
        if (next.value.length == 0) break;
        const uint64_t end = next.value.offset + next.value.length;
        if (!ranges.empty() && ranges.back().second == next.value.offset)
          ranges.back().second = end;
        else
          ranges.emplace_back(next.value.offset, end);
      }
    }
    image = world.open(storage);
    return ranges;
  }
  void check_clean() {
    const qcow2::CheckResult check = run(image->check(qcow2::Repair::none));
    CHECK(check.errors == 0);
    CHECK(check.corruptions == 0);
    CHECK(check.leaks == 0);
  }
};

std::error_code code(std::errc error) {
  return std::make_error_code(error);
}

}  // namespace

TEST_CASE("an enabled bitmap records writes, zeros and discards") {
  const Qcow2CreateOptions options = GENERATE(
      values<Qcow2CreateOptions>({{.size = 4 * kMiB},
                                  {.size = 4 * kMiB, .cluster_size = 512},
                                  {.size = 4 * kMiB, .cluster_size = 2 * kMiB},
                                  {.size = 4 * kMiB, .lazy_refcounts = true, .extended_l2 = true},
                                  {.size = 4 * kMiB, .refcount_bits = 1}}));
  BitmapWorld lab(options);
  REQUIRE_FALSE(lab.world.fill(*lab.image, 0, 64 * kKiB, 1));
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("b", 4096)));
  CHECK(lab.dirty("b").empty());
  REQUIRE_FALSE(lab.world.fill(*lab.image, 10000, 1, 2));
  REQUIRE_FALSE(lab.run(lab.image->zero(kMiB, 8192, {})));
  lab.reopen();
  REQUIRE_FALSE(lab.run(lab.image->discard(2 * kMiB, 64 * kKiB)));
  REQUIRE_FALSE(lab.world.fill(*lab.image, 4 * kMiB - 1, 1, 3));
  const Ranges want{{8192, 12288},
                    {kMiB, kMiB + 8192},
                    {2 * kMiB, 2 * kMiB + 64 * kKiB},
                    {4 * kMiB - 4096, 4 * kMiB}};
  CHECK(lab.dirty("b") == want);
  lab.check_clean();
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("bitmaps are added, disabled, cleared, merged and removed") {
  BitmapWorld lab;
  Qcow2& image = *lab.image;
  REQUIRE_FALSE(lab.run(image.add_bitmap("fine", 512)));
  REQUIRE_FALSE(lab.run(image.add_bitmap("coarse", kMiB)));
  REQUIRE_FALSE(lab.world.fill(image, 700, 10, 1));
  REQUIRE_FALSE(lab.run(image.enable_bitmap("fine", false)));
  REQUIRE_FALSE(lab.world.fill(image, 2 * kMiB, 512, 1));
  CHECK(lab.dirty("fine") == Ranges{{512, 1024}});
  CHECK(lab.dirty("coarse") == Ranges{{0, kMiB}, {2 * kMiB, 3 * kMiB}});
  REQUIRE_FALSE(lab.run(lab.image->merge_bitmap("fine", *lab.image, "coarse")));
  CHECK(lab.dirty("fine") == Ranges{{0, kMiB}, {2 * kMiB, 3 * kMiB}});
  REQUIRE_FALSE(lab.run(lab.image->clear_bitmap("coarse")));
  CHECK(lab.dirty("coarse").empty());
  REQUIRE_FALSE(lab.run(lab.image->enable_bitmap("fine", true)));
  REQUIRE_FALSE(lab.world.fill(*lab.image, 3 * kMiB, 1, 1));
  CHECK(lab.dirty("fine") == Ranges{{0, kMiB}, {2 * kMiB, 3 * kMiB + 512}});
  lab.check_clean();
  REQUIRE_FALSE(lab.run(lab.image->remove_bitmap("coarse")));
  REQUIRE_FALSE(lab.run(lab.image->remove_bitmap("fine")));
  lab.check_clean();
  lab.reopen();
  CHECK(lab.image->bitmaps().empty());
  CHECK(lab.image->header().autoclear == 0);
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("a bitmap of another image is merged, if its disk has the same size") {
  BitmapWorld lab, other, larger({.size = 8 * kMiB});
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("to", 65536)));
  REQUIRE_FALSE(other.run(other.image->add_bitmap("from", 4096)));
  REQUIRE_FALSE(larger.run(larger.image->add_bitmap("from", 4096)));
  REQUIRE_FALSE(other.world.fill(*other.image, 100 * kKiB, 60 * kKiB, 1));
  CHECK(other.run(lab.image->merge_bitmap("to", *other.image, "none")) ==
        code(std::errc::no_such_file_or_directory));
  CHECK(lab.run(lab.image->merge_bitmap("to", *larger.image, "from")) ==
        code(std::errc::invalid_argument));
  other.reopen();
  REQUIRE_FALSE(lab.run(lab.image->merge_bitmap("to", *other.image, "from")));
  CHECK(lab.dirty("to") == Ranges{{64 * kKiB, 192 * kKiB}});
  for (BitmapWorld* world : {&lab, &other, &larger})
    REQUIRE_FALSE(world->run(world->image->close()));
}

TEST_CASE("what cannot be is refused and changes nothing") {
  BitmapWorld lab;
  Qcow2& image = *lab.image;
  REQUIRE_FALSE(lab.run(image.add_bitmap("b", 65536)));
  CHECK(lab.run(image.add_bitmap("b", 65536)) == code(std::errc::file_exists));
  CHECK(lab.run(image.add_bitmap("", 65536)) == code(std::errc::invalid_argument));
  CHECK(lab.run(image.add_bitmap(std::string(1024, 'x'), 65536)) ==
        code(std::errc::invalid_argument));
  for (const uint64_t granularity : {uint64_t{0}, uint64_t{256}, uint64_t{1000}, uint64_t{1} << 32})
    CHECK(lab.run(image.add_bitmap("c", granularity)) == code(std::errc::invalid_argument));
  CHECK(lab.run(image.remove_bitmap("c")) == code(std::errc::no_such_file_or_directory));
  CHECK(lab.run(image.clear_bitmap("c")) == code(std::errc::no_such_file_or_directory));
  CHECK(lab.run(image.enable_bitmap("c", true)) == code(std::errc::no_such_file_or_directory));
  REQUIRE_FALSE(lab.run(image.add_bitmap(std::string(1023, 'x'), uint64_t{1} << 31)));
  lab.reopen();
  CHECK(lab.image->bitmaps().size() == 2);
  REQUIRE_FALSE(lab.run(lab.image->close()));

  BitmapWorld old({.size = kMiB, .version = 2});
  CHECK(old.run(old.image->add_bitmap("b", 65536)) == code(std::errc::not_supported));
  REQUIRE_FALSE(old.run(old.image->close()));
  BitmapWorld huge({.size = uint64_t{1} << 50, .cluster_size = 2 * kMiB});
  CHECK(huge.run(huge.image->add_bitmap("b", 512)) == code(std::errc::file_too_large));
  REQUIRE_FALSE(huge.run(huge.image->close()));
  BitmapWorld large({.size = uint64_t{1} << 41, .cluster_size = 2 * kMiB});
  CHECK_FALSE(large.run(large.image->add_bitmap("b", 512)));  // 512 MiB of bits
  REQUIRE_FALSE(large.run(large.image->close()));
}

TEST_CASE("after a crash a bitmap that recorded means nothing, and a disabled one what it meant") {
  BitmapWorld lab;
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("off", 4096)));
  REQUIRE_FALSE(lab.world.fill(*lab.image, 0, 1, 1));
  REQUIRE_FALSE(lab.run(lab.image->enable_bitmap("off", false)));
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("on", 4096)));
  lab.reopen();
  lab.crash();
  CHECK(lab.run(lab.image->clear_bitmap("on")) == code(std::errc::state_not_recoverable));
  CHECK(lab.run(lab.image->merge_bitmap("off", *lab.image, "on")) ==
        code(std::errc::state_not_recoverable));
  CHECK(lab.dirty("off") == Ranges{{0, 4096}});
  REQUIRE(lab.image->bitmaps().size() == 2);
  CHECK(lab.image->bitmaps()[1].in_use);
  REQUIRE_FALSE(lab.run(lab.image->remove_bitmap("on")));
  lab.check_clean();
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("bitmaps fit the disk after it was resized") {
  // Parts of 512 bytes map 2 MiB each.
  BitmapWorld lab({.size = 5 * kMiB, .cluster_size = 512});
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("on", 512)));
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("off", 512)));
  REQUIRE_FALSE(lab.world.fill(*lab.image, kMiB, 512, 1));
  REQUIRE_FALSE(lab.run(lab.image->zero(4 * kMiB, kMiB, {})));
  REQUIRE_FALSE(lab.run(lab.image->enable_bitmap("off", false)));
  REQUIRE_FALSE(lab.run(lab.image->resize(4 * kMiB + 512)));
  const Ranges cut{{kMiB, kMiB + 512}, {4 * kMiB, 4 * kMiB + 512}};
  CHECK(lab.dirty("off") == cut);
  lab.check_clean();
  REQUIRE_FALSE(lab.run(lab.image->resize(9 * kMiB)));
  CHECK(lab.dirty("off") == cut);
  CHECK(lab.dirty("on") == cut);
  REQUIRE_FALSE(lab.world.fill(*lab.image, 9 * kMiB - 512, 512, 1));
  CHECK(lab.dirty("on").back() == std::pair(9 * kMiB - 512, 9 * kMiB));
  lab.check_clean();
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("returning to a snapshot dirties everything, and fits bitmaps to its size") {
  BitmapWorld lab;
  REQUIRE_FALSE(lab.run(lab.image->create_snapshot("s")));
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("b", 65536)));
  REQUIRE_FALSE(lab.run(lab.image->resize(6 * kMiB)));
  REQUIRE_FALSE(lab.run(lab.image->apply_snapshot("s")));
  CHECK(lab.dirty("b") == Ranges{{0, 4 * kMiB}});
  lab.check_clean();
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("marks that are too many for memory are stored while the image is in use") {
  // Every part of 2 MiB is one mark's.
  BitmapWorld lab({.size = uint64_t{1} << 45, .cluster_size = 2 * kMiB});
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("b", 65536)));
  Ranges want;
  for (uint64_t i = 0; i < 20; ++i) {
    const uint64_t at = i << 40;
    REQUIRE_FALSE(lab.run(lab.image->zero(at, 65536, {})));
    want.emplace_back(at, at + 65536);
  }
  CHECK(lab.dirty("b") == want);
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("a damaged directory ends the bitmaps of an image that is written, and no more") {
  BitmapWorld lab;
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("b", 65536)));
  REQUIRE_FALSE(lab.run(lab.image->close()));
  const qcow2::Header header =
      qcow2::parse_header(lab.storage->bytes, lab.storage->bytes.size(), "test.qcow2");
  REQUIRE(header.extensions.front().type == qcow2::kExtensionBitmaps);
  const uint64_t directory = qcow2::load_be64(header.extensions.front().data.data() + 16);
  lab.storage->bytes[directory] = std::byte{0x7f};
  lab.image = lab.world.open(lab.storage, {.read_only = true});
  CHECK(lab.image->bitmaps().empty());
  lab.reopen();
  CHECK(lab.image->bitmaps().empty());
  REQUIRE_FALSE(lab.world.fill(*lab.image, 0, 1, 1));
  lab.reopen();
  CHECK(lab.image->header().autoclear == 0);
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("bitmaps that lie about their tables cost no more than the file is long") {
  BitmapWorld lab;
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("b", 65536)));
  REQUIRE_FALSE(lab.run(lab.image->close()));
  qcow2::HostFile file(std::make_unique<ScriptedMemory>(lab.storage));
  const qcow2::Header header =
      qcow2::parse_header(lab.storage->bytes, lab.storage->bytes.size(), "test.qcow2");
  auto directory = lab.run(qcow2::read_bitmaps(file, header)).value;
  qcow2::BitmapInfo info = directory.bitmaps.front();
  info.table_offset = 0;
  info.table_entries = static_cast<uint32_t>(lab.storage->bytes.size() / 8);
  directory.bitmaps = {info, info};
  const std::vector<std::byte> bytes = qcow2::serialise_bitmaps(directory.bitmaps);
  std::copy(bytes.begin(), bytes.end(),
            lab.storage->bytes.begin() + static_cast<ptrdiff_t>(directory.offset));
  qcow2::Header lying = header;
  directory.length = bytes.size();
  qcow2::name_directory(lying, directory);
  CHECK(lab.run(qcow2::read_bitmaps(file, lying)).error == qcow2::io_error());
}

namespace {

bool skipped() {
  if (have_qemu()) return false;
  WARN("qemu-img and qemu-io are not installed: nothing was compared");
  return true;
}

struct Lab : BitmapWorld {
  TempDir dir;
  using BitmapWorld::BitmapWorld;
  void run_qemu(const std::string& command) {
    REQUIRE_FALSE(run(image->close()));
    storage->save(dir.path("a.qcow2"));
    must_run("cd " + dir.path(".") + " && " + command);
    storage->load(dir.path("a.qcow2"));
    image = world.open(storage);
  }
  // What QEMU serves as dirty, as "start length" lines.
  std::string dirty_of_qemu(const std::string& name) {
    REQUIRE_FALSE(run(image->close()));
    storage->save(dir.path("a.qcow2"));
    image = world.open(storage);
    const CommandResult map = run_command(
        "cd " + dir.path(".") + " && qemu-nbd -r -f qcow2 -B " + name +
        " -k $PWD/s --fork a.qcow2 && qemu-img map --output=json --image-opts "
        "driver=nbd,server.type=unix,server.path=s,x-dirty-bitmap=qemu:dirty-bitmap:" +
        name +
        " | sed -n 's/.*\"start\": \\([0-9]*\\), \"length\": \\([0-9]*\\).*\"data\": false.*/\\1 "
        "\\2/p'");
    INFO(map.output);
    REQUIRE(map.status == 0);
    return map.output;
  }
};

std::string text_of(const Ranges& ranges) {
  std::string text;
  for (const auto& [begin, end] : ranges)
    text += std::to_string(begin) + " " + std::to_string(end - begin) + "\n";
  return text;
}

}  // namespace

TEST_CASE("QEMU reads our bitmaps, and we read what it made of them") {
  if (skipped()) return;
  Lab lab;
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("b", 4096)));
  REQUIRE_FALSE(lab.world.fill(*lab.image, 100'000, 50'000, 1));
  CHECK(lab.dirty_of_qemu("b") == text_of(lab.dirty("b")));
  lab.run_qemu(
      "qemu-img check -q -f qcow2 a.qcow2 && qemu-io -f qcow2 -c 'write -P 3 1M 1' "
      "-c 'write -z 2M 64k' a.qcow2 && qemu-img bitmap --add -g 1M a.qcow2 q && "
      "qemu-io -f qcow2 -c 'write -P 4 3M 1' a.qcow2");
  const Ranges want{{98304, 151552},
                    {kMiB, kMiB + 4096},
                    {2 * kMiB, 2 * kMiB + 65536},
                    {3 * kMiB, 3 * kMiB + 4096}};
  CHECK(lab.dirty("b") == want);
  CHECK(lab.dirty("q") == Ranges{{3 * kMiB, 4 * kMiB}});
  REQUIRE_FALSE(lab.run(lab.image->resize(7 * kMiB)));
  REQUIRE_FALSE(lab.world.fill(*lab.image, 6 * kMiB, 1, 5));
  CHECK(lab.dirty_of_qemu("b") == text_of(lab.dirty("b")));
  CHECK(lab.dirty_of_qemu("q") == text_of(lab.dirty("q")));
  lab.run_qemu(
      "qemu-img check -q -f qcow2 a.qcow2 && qemu-img resize -q a.qcow2 20M && "
      "qemu-img bitmap --merge q --disable a.qcow2 b && qemu-img check -q a.qcow2");
  CHECK(lab.dirty("b").back() == std::pair(6 * kMiB, 7 * kMiB));
  lab.check_clean();
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("QEMU takes a bitmap that recorded at a crash for inconsistent") {
  if (skipped()) return;
  Lab lab;
  REQUIRE_FALSE(lab.run(lab.image->add_bitmap("b", 4096)));
  lab.storage->save(lab.dir.path("crashed.qcow2"));
  const CommandResult clear =
      run_command("cd " + lab.dir.path(".") + " && qemu-img bitmap --clear crashed.qcow2 b");
  CHECK(clear.status == 1);
  CHECK_THAT(clear.output, Catch::Matchers::Contains("inconsistent"));
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("no more bitmaps record than memory is for") {
  constexpr size_t kMost = 64;
  BitmapWorld lab({.size = kMiB, .cluster_size = 512 * kKiB});
  for (size_t i = 0; i < kMost + 2; ++i)
    REQUIRE_FALSE(lab.run(lab.image->add_bitmap(fmt::format("b{}", i), 65536)));
  lab.reopen({.read_only = true});
  const auto in_use = [](const qcow2::BitmapInfo& bitmap) { return bitmap.in_use; };
  auto bitmaps = lab.image->bitmaps();
  CHECK(std::count_if(bitmaps.begin(), bitmaps.end(), in_use) == 0);
  lab.reopen();
  bitmaps = lab.image->bitmaps();
  CHECK(std::count_if(bitmaps.begin(), bitmaps.end(), in_use) == 2);
  CHECK(std::none_of(bitmaps.begin(), bitmaps.begin() + kMost, in_use));
  REQUIRE_FALSE(lab.world.fill(*lab.image, 0, 512, 1));
  CHECK(lab.dirty("b0") == Ranges{{0, 65536}});
  CHECK(lab.dirty(fmt::format("b{}", kMost)).empty());
  REQUIRE_FALSE(lab.run(lab.image->close()));
}
