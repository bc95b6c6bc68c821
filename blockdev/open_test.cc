#include "blockdev/open.h"

#include <fstream>

#include <catch2/catch.hpp>

#include "blockdev/testing/fixtures.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using Catch::Matchers::Contains;

namespace {

struct Bench {
  std::unique_ptr<Disk> open(Spec spec) {
    return host.wait(open_disk(host.host(), "vda", std::move(spec)));
  }
  std::string refusal(Spec spec) {
    try {
      (void)open(std::move(spec));
    } catch (const std::exception& error) {
      return describe(error);
    }
    return "";
  }

  TempDir dir;
  TestHost host;
};

}  // namespace

TEST_CASE("a raw disk opens, works and closes") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 1048576);
  {
    const std::unique_ptr<Disk> disk = bench.open({.path = path});
    REQUIRE(disk->name() == "vda");
    REQUIRE(disk->limits().size == 1048576);
    REQUIRE_FALSE(write_bytes(bench.host, *disk, 1000, pattern(5000, 1)));
    REQUIRE_FALSE(bench.host.wait(disk->close()));
  }
  const std::unique_ptr<Disk> disk = bench.open({.path = path, .read_only = true});
  REQUIRE(read_bytes(bench.host, *disk, 1000, 5000) == pattern(5000, 1));
}

TEST_CASE("the format comes from the ending or from format=, and is never guessed") {
  Bench bench;
  for (const char* name : {"disk.raw", "disk.img"})
    REQUIRE(bench.refusal({.path = bench.dir.file(name, 4096)}).empty());
  const std::string plain = bench.dir.file("disk", 4096);
  REQUIRE_THAT(bench.refusal({.path = plain}),
               Contains(plain) && Contains("format=raw") && Contains("format=qcow2"));
  REQUIRE(bench.refusal({.path = plain, .format = "raw"}).empty());
  REQUIRE_THAT(bench.refusal({.path = plain, .format = "vmdk"}),
               Contains(plain) && Contains("vmdk"));
}

TEST_CASE("a qcow2 image with the name of a raw one needs its format said") {
  Bench bench;
  const CacheMode cache = GENERATE(CacheMode::writeback, CacheMode::none);
  const std::string path = bench.dir.file("cloud.img", 65536);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).write("QFI\xfb", 4);
  REQUIRE_THAT(bench.refusal({.path = path, .cache = cache}),
               Contains(path) && Contains("format=qcow2") && Contains("format=raw"));
  REQUIRE(bench.refusal({.path = path, .format = "raw", .cache = cache}).empty());
}

TEST_CASE("an empty raw image is refused") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 0);
  REQUIRE_THAT(bench.refusal({.path = path}), Contains("empty"));
}

TEST_CASE("two writers of one image are refused unless locking is off") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 4096);
  const std::unique_ptr<Disk> disk = bench.open({.path = path});
  REQUIRE_THAT(bench.refusal({.path = path}), Contains("in use"));
  REQUIRE_THAT(bench.refusal({.path = path, .read_only = true}), Contains("in use"));
  REQUIRE(bench.refusal({.path = path, .lock = false}).empty());
}

TEST_CASE("snapshot=on never writes the image, and lets two of them share it") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 1048576);
  const auto before = file_content(path);
  const std::unique_ptr<Disk> one = bench.open({.path = path, .snapshot = true});
  const std::unique_ptr<Disk> other = bench.open({.path = path, .snapshot = true});
  REQUIRE_FALSE(one->limits().read_only);
  REQUIRE_FALSE(write_bytes(bench.host, *one, 1000, pattern(100000, 1)));
  REQUIRE_FALSE(bench.host.wait(one->flush()));
  REQUIRE(read_bytes(bench.host, *one, 1000, 100000) == pattern(100000, 1));
  REQUIRE(read_bytes(bench.host, *other, 1000, 100000) == zeros(100000));
  REQUIRE_FALSE(bench.host.wait(one->close()));
  REQUIRE(file_content(path) == before);
}

TEST_CASE("a part of a raw file can be a disk") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 1048576);
  {
    const RawWindow window{.offset = 65536, .size = 4096};
    const std::unique_ptr<Disk> disk = bench.open({.path = path, .window = window});
    REQUIRE(disk->limits().size == 4096);
    REQUIRE_FALSE(write_bytes(bench.host, *disk, 0, pattern(4096, 1)));
    REQUIRE_FALSE(bench.host.wait(disk->close()));
  }
  const auto content = file_content(path);
  REQUIRE(std::vector(content.begin() + 65536, content.begin() + 69632) == pattern(4096, 1));
  REQUIRE_THAT(bench.refusal({.path = path, .window = {.offset = 2097152}}),
               Contains(path) && Contains("does not fit"));
}

TEST_CASE("cache modes are known by QEMU's words") {
  REQUIRE(parse_cache_mode("writeback") == CacheMode::writeback);
  REQUIRE(parse_cache_mode("none") == CacheMode::none);
  REQUIRE(parse_cache_mode("writethrough") == CacheMode::writethrough);
  REQUIRE(parse_cache_mode("unsafe") == CacheMode::unsafe);
  REQUIRE_THROWS_WITH(parse_cache_mode("directsync"), Contains("directsync") && Contains("none"));
}

TEST_CASE("who moves the bytes can be chosen, as far as the cache mode allows") {
  Bench bench;
  const std::string path = bench.dir.file("disk.raw", 1048576);
  REQUIRE(parse_aio_mode("native") == AioMode::native);
  REQUIRE(parse_aio_mode("threads") == AioMode::threads);
  REQUIRE_THROWS_WITH(parse_aio_mode("bio"), Contains("bio") && Contains("native"));
  REQUIRE_THAT(bench.refusal({.path = path, .aio = AioMode::native}),
               Contains("aio=native needs cache=none"));
  const std::unique_ptr<Disk> disk = bench.open({.path = path, .aio = AioMode::threads});
  REQUIRE_FALSE(write_bytes(bench.host, *disk, 1000, pattern(5000, 1)));
  REQUIRE_FALSE(bench.host.wait(disk->close()));
}
