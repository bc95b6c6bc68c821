// Amended images: what they show stays, what they are changes, and QEMU agrees; a crash inside
// leaves them as before or as after.
#include <catch2/catch.hpp>

#include "blockdev/testing/qcow2_fixture.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;

struct Lab {
  World world;
  std::shared_ptr<Storage> storage, base;
  std::unique_ptr<Qcow2> image;
  TempDir dir;

  explicit Lab(Qcow2CreateOptions options) {
    if (!options.backing_file.empty()) {
      base = std::make_shared<Storage>();
      base->resize(options.size);
      std::fill(base->bytes.begin(), base->bytes.end(), std::byte{0xbb});
    }
    storage = world.create(std::move(options));
    open();
  }
  void open() {
    std::unique_ptr<Node> below;
    if (base) below = std::make_unique<ScriptedMemory>(base);
    image = world.open(storage, {}, std::move(below));
  }
  template <class T>
  T run(Task<T> task) {
    return block_on(world.loop, std::move(task));
  }
  std::error_code amend(Qcow2AmendOptions options) {
    const std::error_code error = run(image->amend(std::move(options)));
    reopen();
    return error;
  }
  void reopen() {
    REQUIRE_FALSE(run(image->close()));
    open();
  }
  std::vector<std::byte> content() { return world.read(*image, 0, image->limits().size); }
  // Data, zeros that keep their cluster and zeros that do not, holes.
  void scribble() {
    REQUIRE_FALSE(world.fill(*image, 10000, 300'000, 1));
    REQUIRE_FALSE(run(image->zero(64 * kKiB, 64 * kKiB, {})));
    REQUIRE_FALSE(run(image->zero(kMiB, 200 * kKiB, {.may_unmap = true})));
    REQUIRE_FALSE(world.fill(*image, 2 * kMiB, 5000, 2));
  }
  void check() {
    const qcow2::CheckResult result = run(image->check(qcow2::Repair::none));
    CHECK(result.errors == 0);
    CHECK(result.corruptions == 0);
    CHECK(result.leaks == 0);
    if (!have_qemu()) return;
    if (base) base->save(dir.path("base.raw"));
    REQUIRE_FALSE(run(image->close()));
    const CommandResult qemu = qemu_check(*storage, dir);
    open();
    INFO(qemu.output);
    CHECK(qemu.status == 0);
  }
};

std::string refusal(Lab& lab, Qcow2AmendOptions options) {
  const Storage before = *lab.storage;
  try {
    [[maybe_unused]] const auto error = lab.run(lab.image->amend(std::move(options)));
  } catch (const ConfigError& error) {
    CHECK(before.bytes == lab.storage->bytes);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("an image becomes version 2 and version 3 again, and shows the same") {
  const Qcow2CreateOptions options = GENERATE(values<Qcow2CreateOptions>(
      {{.size = 3 * kMiB},
       {.size = 3 * kMiB, .cluster_size = 512},
       {.size = 3 * kMiB, .lazy_refcounts = true},
       {.size = 3 * kMiB, .backing_file = "base.raw", .backing_format = "raw"},
       {.size = 3 * kMiB,
        .cluster_size = 4096,
        .backing_file = "base.raw",
        .backing_format = "raw"}}));
  const bool with_snapshots = GENERATE(false, true);
  Lab lab(options);
  std::vector<std::byte> kept;
  lab.scribble();
  if (with_snapshots) {
    kept = lab.content();
    REQUIRE_FALSE(lab.run(lab.image->create_snapshot("s")));
    REQUIRE_FALSE(lab.world.fill(*lab.image, 70 * kKiB, 100, 3));
    REQUIRE_FALSE(lab.run(lab.image->zero(2 * kMiB, 64 * kKiB, {})));
  }
  const std::vector<std::byte> want = lab.content();
  REQUIRE_FALSE(lab.amend({.version = 2}));
  CHECK(lab.image->header().version == 2);
  CHECK(lab.content() == want);
  lab.check();
  REQUIRE_FALSE(lab.amend({.version = 3, .lazy_refcounts = true}));
  CHECK(lab.image->header().version == 3);
  CHECK(lab.image->header().lazy_refcounts());
  CHECK(lab.content() == want);
  lab.check();
  if (with_snapshots) {
    CHECK(lab.image->snapshots().front().disk_size == 3 * kMiB);
    REQUIRE_FALSE(lab.run(lab.image->apply_snapshot("s")));
    CHECK(lab.content() == kept);
    lab.check();
  }
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("refcounts become wider and narrower") {
  Lab lab({.size = 3 * kMiB, .cluster_size = GENERATE(512u, 4096u, 65536u)});
  lab.scribble();
  const bool shared = GENERATE(false, true);
  if (shared) REQUIRE_FALSE(lab.run(lab.image->create_snapshot("s")));
  const std::vector<std::byte> want = lab.content();
  for (const uint32_t bits : {64u, 2u, 32u, 1u, 16u}) {
    INFO(bits);
    const std::error_code error = lab.amend({.refcount_bits = bits});
    const bool fits = bits > 1 || !shared;
    CHECK(error == (fits ? std::error_code{} : std::make_error_code(std::errc::value_too_large)));
    CHECK(lab.image->header().geometry().refcount_bits() == (fits ? bits : 32));
    CHECK(lab.content() == want);
    REQUIRE_FALSE(lab.world.fill(*lab.image, 2 * kMiB + 100 * kKiB, bits * 1000, 0));
    lab.check();
  }
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("all that amend can change at once") {
  Lab lab({.size = 3 * kMiB, .refcount_bits = 8});
  lab.scribble();
  const std::vector<std::byte> want = lab.content();
  REQUIRE_FALSE(lab.amend({.version = 2, .size = 4 * kMiB, .refcount_bits = 16}));
  CHECK(lab.image->header().size == 4 * kMiB);
  CHECK(lab.world.read(*lab.image, 0, 3 * kMiB) == want);
  lab.check();
  REQUIRE_FALSE(lab.run(lab.image->amend({.backing_file = "b", .backing_format = "raw"})));
  CHECK(lab.image->header().backing_file == "b");
  CHECK(lab.image->header().backing_format() == "raw");
  REQUIRE_FALSE(lab.run(lab.image->close()));
}

TEST_CASE("names and flags are amended alone") {
  World world;
  const auto data = std::make_shared<Storage>();
  const auto storage = world.create({.size = kMiB, .data_file_raw = true}, data);
  auto image = world.open(storage, {}, std::make_unique<ScriptedMemory>(data));
  REQUIRE_FALSE(
      block_on(world.loop, image->amend({.data_file = "other.raw", .data_file_raw = false})));
  REQUIRE_FALSE(block_on(world.loop, image->close()));
  const qcow2::Header header = qcow2::parse_header(storage->bytes, storage->bytes.size(), "test");
  CHECK(header.data_file() == "other.raw");
  CHECK_FALSE(header.raw_data_file());
}

TEST_CASE("what version 2 cannot say is refused with the reason") {
  using Catch::Matchers::Contains;
  const auto reason = [](Qcow2CreateOptions create, Qcow2AmendOptions amend) {
    Lab lab(std::move(create));
    const std::string text = refusal(lab, std::move(amend));
    REQUIRE_FALSE(lab.run(lab.image->close()));
    return text;
  };
  CHECK_THAT(reason({.size = kMiB, .refcount_bits = 8}, {.version = 2}),
             Contains("refcount_bits=16"));
  CHECK_THAT(reason({.size = kMiB, .extended_l2 = true}, {.version = 2}), Contains("0x10"));
  CHECK_THAT(reason({.size = kMiB}, {.version = 2, .lazy_refcounts = true}),
             Contains("lazy_refcounts"));
  CHECK_THAT(reason({.size = kMiB, .version = 2}, {.refcount_bits = 8}), Contains("compat=0.10"));
  CHECK_THAT(reason({.size = kMiB}, {.refcount_bits = 3}), Contains("power of two"));
  CHECK_THAT(reason({.size = kMiB}, {.data_file = "d"}), Contains("data_file"));
  CHECK_THAT(reason({.size = kMiB}, {.data_file_raw = true}), Contains("data_file_raw"));
  CHECK_THAT(reason({.size = kMiB}, {.backing_file = "b"}), Contains("backing_fmt"));
  CHECK_THAT(reason({.size = kMiB}, {.backing_format = "raw"}), Contains("backing_fmt"));

  Lab bitmaps({.size = kMiB});
  REQUIRE_FALSE(bitmaps.run(bitmaps.image->add_bitmap("b", 65536)));
  CHECK_THAT(refusal(bitmaps, {.version = 2}), Contains("bitmaps"));
  REQUIRE_FALSE(bitmaps.run(bitmaps.image->close()));
  Lab snapshots({.size = kMiB});
  REQUIRE_FALSE(snapshots.run(snapshots.image->create_snapshot("s")));
  REQUIRE_FALSE(snapshots.run(snapshots.image->resize(2 * kMiB)));
  CHECK_THAT(refusal(snapshots, {.version = 2}), Contains("another size"));
  REQUIRE_FALSE(snapshots.run(snapshots.image->close()));
}

TEST_CASE("a crash inside amend leaves the image before or after a step") {
  const bool backed = GENERATE(false, true);
  Qcow2CreateOptions options{.size = 200 * kKiB, .cluster_size = 1024};
  if (backed) options.backing_file = "base.raw", options.backing_format = "raw";
  Lab lab(options);
  REQUIRE_FALSE(lab.world.fill(*lab.image, 10000, 50'000, 1));
  REQUIRE_FALSE(lab.run(lab.image->zero(20 * kKiB, 10 * kKiB, {})));
  REQUIRE_FALSE(lab.run(lab.image->create_snapshot("s")));
  REQUIRE_FALSE(lab.run(lab.image->zero(100 * kKiB, 10 * kKiB, {.may_unmap = true})));
  lab.reopen();
  const std::vector<std::byte> want = lab.content();
  Storage all = *lab.storage;
  lab.storage->log_writes = true;
  const Qcow2AmendOptions amended = GENERATE(values<Qcow2AmendOptions>(
      {{.version = 2}, {.refcount_bits = 64}, {.refcount_bits = 2}, {.lazy_refcounts = true}}));
  REQUIRE_FALSE(lab.run(lab.image->amend(amended)));
  REQUIRE_FALSE(lab.run(lab.image->close()));
  const std::vector<Storage::Write> log = lab.storage->log;
  for (const Storage::Write& write : log) {
    if (write.kind == Storage::Write::Kind::flush) continue;
    if (write.kind == Storage::Write::Kind::resize) {
      all.resize(write.offset);
      continue;
    }
    if (write.offset + write.bytes.size() > all.bytes.size())
      all.resize(write.offset + write.bytes.size());
    std::copy(write.bytes.begin(), write.bytes.end(),
              all.bytes.begin() + static_cast<ptrdiff_t>(write.offset));
    lab.storage = std::make_shared<Storage>(all);
    std::unique_ptr<Node> below;
    if (lab.base) below = std::make_unique<ScriptedMemory>(lab.base);
    lab.image = lab.world.open(lab.storage, {.read_only = true}, std::move(below));
    const qcow2::CheckResult check = lab.run(lab.image->check(qcow2::Repair::none));
    REQUIRE((check.errors == 0 && check.corruptions == 0));
    REQUIRE(lab.content() == want);
    REQUIRE_FALSE(lab.run(lab.image->close()));
  }
}
