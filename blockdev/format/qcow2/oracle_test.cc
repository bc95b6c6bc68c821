// Images that qemu-img and qemu-io made, of every shape, read byte for byte; and images of ours in
// every shape of creation, checked by qemu-img. Without qemu-utils installed this says so and
// passes.
#include <fstream>

#include <catch2/catch.hpp>

#include "blockdev/open.h"
#include "blockdev/testing/qcow2_fixture.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

constexpr uint64_t kMiB = 1024 * 1024;

Task<std::unique_ptr<Node>> open_reference(Host host, ImageReference reference);

Task<std::unique_ptr<Qcow2>> open_path(Host host, std::string path, Qcow2Options options) {
  auto storage = std::make_shared<Storage>();
  storage->load(path);
  options.path = path;
  options.references = References::any;
  std::unique_ptr<Node> file = std::make_unique<ScriptedMemory>(storage);
  OpenReference opener = [host](ImageReference r) { return open_reference(host, std::move(r)); };
  co_return co_await open_qcow2(host, std::move(file), std::move(options), std::move(opener));
}

Task<std::unique_ptr<Node>> open_reference(Host host, ImageReference reference) {
  const std::string path = reference.location.name();
  if (reference.format == "qcow2") {
    Qcow2Options options{.read_only = reference.read_only, .chain = reference.chain};
    std::unique_ptr<Qcow2> image = co_await open_path(host, path, std::move(options));
    co_return image;
  }
  auto storage = std::make_shared<Storage>();
  storage->load(path);
  co_return std::make_unique<ScriptedMemory>(storage);
}

bool skipped() {
  if (have_qemu()) return false;
  WARN("qemu-img and qemu-io are not installed: nothing was compared");
  return true;
}

struct Lab {
  World world;
  TempDir dir;
  void run(const std::string& command) { must_run("cd " + dir.path(".") + " && " + command); }
  std::unique_ptr<Qcow2> open(const std::string& name, Qcow2Options options = {}) {
    return block_on(world.loop, open_path(world.host(), dir.path(name), std::move(options)));
  }
  // What qemu reads out of the image.
  std::vector<std::byte> expected(const std::string& name) {
    run("qemu-img convert -f qcow2 -O raw " + name + " expected.raw");
    Storage raw;
    raw.load(dir.path("expected.raw"));
    return raw.bytes;
  }
  void compare(const std::string& name) {
    auto image = open(name, {.read_only = true});
    const auto want = expected(name);
    REQUIRE(image->limits().size == want.size());
    const auto got = world.read(*image, 0, want.size());
    REQUIRE(got == want);
    const qcow2::CheckResult check = block_on(world.loop, image->check(qcow2::Repair::none));
    CHECK(check.errors == 0);
    CHECK(check.corruptions == 0);
    CHECK(check.leaks == 0);
    REQUIRE_FALSE(block_on(world.loop, image->close()));
  }
};

const char* const kScribbles =
    " -c 'write -P 1 0 70000' -c 'write -P 2 1M 300k' -c 'write -z 1100k 64k'"
    " -c 'write -z -u 1200k 70k' -c 'discard 1300k 128k' -c 'write -P 3 3000k 4k' ";

}  // namespace

TEST_CASE("images that qemu made read as qemu reads them") {
  if (skipped()) return;
  Lab lab;
  const std::string options = GENERATE(
      "compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=4k", "cluster_size=2M",
      "extended_l2=on,cluster_size=16k", "extended_l2=on,cluster_size=128k", "refcount_bits=1",
      "refcount_bits=2", "refcount_bits=8", "refcount_bits=64,cluster_size=512",
      "lazy_refcounts=on", "preallocation=metadata", "preallocation=falloc", "data_file=d.raw",
      "data_file=d.raw,data_file_raw=on", "compression_type=zstd");
  INFO(options);
  lab.run("qemu-img create -q -f qcow2 -o " + options + " a.qcow2 4M");
  lab.run("qemu-io -f qcow2" + std::string(kScribbles) + "a.qcow2");
  lab.compare("a.qcow2");
}

TEST_CASE("compressed images of qemu") {
  if (skipped()) return;
  Lab lab;
  const std::string options = GENERATE("compression_type=zlib", "compression_type=zstd",
                                       "cluster_size=512", "cluster_size=2M", "compat=0.10",
                                       "extended_l2=on", "compression_type=zstd,cluster_size=4k");
  INFO(options);
  lab.run("qemu-img create -q -f raw b.raw 5M");
  lab.run(
      "qemu-io -f raw -c 'write -P 7 0 1M' -c 'write -P 8 1500k 100k' -c 'write -P 9 4M 1M' b.raw");
  lab.run("head -c 600000 /dev/urandom | dd of=b.raw bs=64k seek=40 conv=notrunc status=none");
  lab.run("qemu-img convert -c -f raw -O qcow2 -o " + options + " b.raw b.qcow2");
  lab.compare("b.qcow2");
}

TEST_CASE("chains, snapshots and zero clusters of qemu") {
  if (skipped()) return;
  Lab lab;
  SECTION("three levels of different sizes and clusters, named relative to the image") {
    lab.run("mkdir sub && qemu-img create -q -f raw sub/base.raw 3M");
    lab.run("qemu-io -f raw -c 'write -P 5 0 3M' sub/base.raw");
    lab.run("qemu-img create -q -f qcow2 -b base.raw -F raw -o cluster_size=4k sub/mid.qcow2 5M");
    lab.run("qemu-io -f qcow2" + std::string(kScribbles) + "sub/mid.qcow2");
    lab.run("qemu-img create -q -f qcow2 -b sub/mid.qcow2 -F qcow2 -o extended_l2=on top.qcow2 4M");
    lab.run("qemu-io -f qcow2 -c 'write -P 6 10k 3k' -c 'write -z 2M 64k' top.qcow2");
    lab.compare("top.qcow2");
  }
  SECTION("snapshots") {
    lab.run("qemu-img create -q -f qcow2 s.qcow2 4M");
    lab.run("qemu-io -f qcow2 -c 'write -P 1 0 1M' s.qcow2 && qemu-img snapshot -c one s.qcow2");
    lab.run("qemu-io -f qcow2 -c 'write -P 2 512k 1M' s.qcow2 && qemu-img snapshot -c two s.qcow2");
    lab.run("qemu-io -f qcow2 -c 'write -P 3 700k 1M' s.qcow2");
    lab.compare("s.qcow2");
    auto storage = std::make_shared<Storage>();
    storage->load(lab.dir.path("s.qcow2"));
    auto image = lab.world.open(storage);
    REQUIRE(image->snapshots().size() == 2);
    CHECK(image->snapshots()[0].name == "one");
    CHECK(image->snapshots()[1].disk_size == 4 * kMiB);
    REQUIRE_FALSE(block_on(lab.world.loop, image->apply_snapshot("one")));
    REQUIRE_FALSE(block_on(lab.world.loop, image->delete_snapshot("2")));
    REQUIRE_FALSE(block_on(lab.world.loop, image->create_snapshot("three")));
    REQUIRE_FALSE(lab.world.fill(*image, 600000, 5000, 9));
    REQUIRE_FALSE(block_on(lab.world.loop, image->close()));
    storage->save(lab.dir.path("s.qcow2"));
    lab.run("qemu-img check -f qcow2 s.qcow2");
    lab.run(
        "qemu-io -f qcow2 -c 'read -P 1 0 600000' -c 'read -P 9 600000 5000' "
        "-c 'read -P 1 605000 443576' -c 'read -P 0 1M 1M' s.qcow2");
    lab.run("qemu-img snapshot -l s.qcow2 | grep -q three && qemu-img snapshot -a one s.qcow2");
    lab.run("qemu-img snapshot -d three s.qcow2 && qemu-img check -f qcow2 s.qcow2");
  }
  SECTION("an image that was not closed") {
    lab.run("qemu-img create -q -f qcow2 -o lazy_refcounts=on l.qcow2 4M");
    run_command("cd " + lab.dir.path(".") +
                " && qemu-io -f qcow2 -c 'write -P 4 0 2M' -c flush -c abort l.qcow2");
    auto storage = std::make_shared<Storage>();
    storage->load(lab.dir.path("l.qcow2"));
    auto image = lab.world.open(storage);
    CHECK(lab.world.read(*image, 1000, 1)[0] == std::byte{4});
    CHECK_FALSE(image->header().dirty());
    REQUIRE_FALSE(block_on(lab.world.loop, image->close()));
    const CommandResult check = qemu_check(*storage, lab.dir);
    INFO(check.output);
    CHECK(check.status == 0);
  }
}

TEST_CASE("images we create are what qemu-img expects") {
  if (skipped()) return;
  Lab lab;
  auto data = std::make_shared<Storage>();
  struct Shape {
    Qcow2CreateOptions options;
    bool data = false;
  };
  const Shape shape = GENERATE(values<Shape>({
      {{.size = 0}},
      {{.size = 1}},
      {{.size = 4 * kMiB, .cluster_size = 512}},
      {{.size = 64 * kMiB, .cluster_size = 512, .refcount_bits = 64}},
      {{.size = 4 * kMiB, .cluster_size = 2 * kMiB}},
      {{.size = 4 * kMiB, .version = 2}},
      {{.size = 4 * kMiB, .refcount_bits = 1}},
      {{.size = 4 * kMiB, .lazy_refcounts = true, .extended_l2 = true}},
      {{.size = 4 * kMiB, .compression = qcow2::Compression::zstd}},
      {{.size = 4 * kMiB, .preallocation = Preallocation::metadata}},
      {{.size = 3 * kMiB, .cluster_size = 512, .preallocation = Preallocation::metadata}},
      {{.size = 4 * kMiB, .extended_l2 = true, .preallocation = Preallocation::full}},
      {{.size = 4 * kMiB, .preallocation = Preallocation::falloc}},
      {{.size = 4 * kMiB}, true},
      {{.size = 4 * kMiB, .data_file_raw = true}, true},
      {{.size = 4 * kMiB, .preallocation = Preallocation::metadata}, true},
      {{.size = uint64_t{1} << 50, .cluster_size = 2 * kMiB}},
  }));
  const auto storage = lab.world.create(shape.options, shape.data ? data : nullptr);
  data->save(lab.dir.path("data.raw"));
  const CommandResult check = qemu_check(*storage, lab.dir);
  INFO(check.output);
  CHECK(check.status == 0);
  if (shape.options.size > 0 && shape.options.size <= 64 * kMiB)
    lab.run(
        "qemu-io -f qcow2 -c 'read -P 0 0 512' -c 'write -P 1 0 512' check.qcow2 && "
        "qemu-img check -f qcow2 check.qcow2");
  const CommandResult info =
      run_command("cd " + lab.dir.path(".") + " && qemu-img info --output json check.qcow2");
  INFO(info.output);
  CHECK(info.status == 0);
}

TEST_CASE("qemu goes on with an image that we wrote, and back") {
  if (skipped()) return;
  Lab lab;
  const auto storage = lab.world.create({.size = 4 * kMiB, .extended_l2 = true});
  for (int round = 1; round <= 3; ++round) {
    auto image = lab.world.open(storage);
    REQUIRE_FALSE(lab.world.fill(*image, static_cast<uint64_t>(round) * 300000, 100000,
                                 static_cast<uint8_t>(round)));
    REQUIRE_FALSE(block_on(lab.world.loop, image->close()));
    storage->save(lab.dir.path("a.qcow2"));
    lab.run("qemu-img check -f qcow2 a.qcow2");
    lab.run("qemu-io -f qcow2" + std::string(kScribbles) + "a.qcow2");
    lab.compare("a.qcow2");
    storage->load(lab.dir.path("a.qcow2"));
  }
}

namespace {

std::string refusal(TestHost& host, const Spec& spec) {
  try {
    const auto disk = host.wait(open_disk(host.host(), "d", spec));
  } catch (const std::exception& error) {
    return describe(error);
  }
  return "";
}

}  // namespace

TEST_CASE("a Spec opens an overlay on disk with what it names, if it may") {
  if (skipped()) return;
  Lab lab;
  TestHost host;
  lab.run("qemu-img create -q -f raw base.raw 3M && qemu-io -f raw -c 'write -P 5 0 3M' base.raw");
  lab.run("qemu-img create -q -f qcow2 -b base.raw -F raw mid.qcow2 3M");
  lab.run("qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2 8M");
  Spec spec{.location = lab.dir.path("top.qcow2")};
  CHECK_THROWS_WITH(
      host.wait(open_disk(host.host(), "d", spec)),
      Catch::Matchers::Contains("mid.qcow2") && Catch::Matchers::Contains("backing=on"));
  spec.references = References::any;
  spec.cache = GENERATE(CacheMode::writeback, CacheMode::none, CacheMode::writethrough);
  auto disk = host.wait(open_disk(host.host(), "d", spec));
  const std::vector<std::byte> bytes = pattern(200'704, 7);
  REQUIRE_FALSE(write_bytes(host, *disk, 1024 * 1024, bytes));
  REQUIRE_FALSE(write_bytes(host, *disk, 3 * 1024 * 1024 + 512, zeros(512)));
  CHECK(read_bytes(host, *disk, 1024 * 1024, bytes.size()) == bytes);
  CHECK(read_bytes(host, *disk, 0, 512) == std::vector<std::byte>(512, std::byte{5}));
  REQUIRE_FALSE(host.wait(disk->close()));
  disk.reset();
  lab.run(
      "qemu-img check -f qcow2 top.qcow2 && qemu-io -f qcow2 -c 'read -P 5 0 1M' "
      "-c 'read -P 0 3M 5M' top.qcow2");
  SECTION("a loop is found and named") {
    lab.run("qemu-img rebase -u -f qcow2 -b top.qcow2 -F qcow2 mid.qcow2");
    spec.read_only = true;
    CHECK_THAT(refusal(host, spec), Catch::Matchers::Contains("form a loop"));
  }
  SECTION("a missing image is named with the one that asked for it") {
    lab.run("rm base.raw");
    spec.read_only = true;
    CHECK_THAT(refusal(host, spec), Catch::Matchers::Contains("of '" + lab.dir.path("mid.qcow2")) &&
                                        Catch::Matchers::Contains(lab.dir.path("base.raw")));
  }
}
