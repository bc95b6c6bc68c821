#include "blockdev/create.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "blockdev/format/qcow2/qcow2.h"
#include "blockdev/open.h"
#include "blockdev/testing/fixtures.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using Catch::Matchers::Contains;

namespace {

struct Bench {
  void create(const std::string& path, CreateOptions options, ProgressFunction progress = {}) {
    host.wait(create_image(host.host(), path, std::move(options), std::move(progress)));
  }
  std::string refusal(const std::string& path, const CreateOptions& options) {
    try {
      create(path, options);
    } catch (const std::exception& error) {
      return describe(error);
    }
    return "";
  }
  ImageDescription describe_file(const std::string& path) {
    return host.wait(describe_image(host.host(), {.location = path}));
  }

  TempDir dir;
  TestHost host;
};

}  // namespace

TEST_CASE("a new raw image is as long as its disk, in whole sectors") {
  Bench bench;
  const std::string path = bench.dir.path("disk.raw");
  bench.create(path, RawCreateOptions{.size = 1000});
  REQUIRE(file_content(path) == zeros(1024));
}

TEST_CASE("preallocation of a raw image takes the space") {
  Bench bench;
  const std::string path = bench.dir.path("disk.raw");
  const Preallocation how = GENERATE(Preallocation::falloc, Preallocation::full);
  bench.create(path, RawCreateOptions{.size = 1048576, .preallocation = how});
  REQUIRE(bench.describe_file(path).actual_size >= 1048576);
  REQUIRE(file_content(path) == zeros(1048576));
}

TEST_CASE("a file that is there is emptied, one that is in use is left alone") {
  Bench bench;
  const std::string path = bench.dir.file("disk.raw", 4096);
  {
    const auto disk = bench.host.wait(open_disk(bench.host.host(), "vda", {.location = path}));
    REQUIRE_FALSE(write_bytes(bench.host, *disk, 0, pattern(4096, 1)));
    REQUIRE_THAT(bench.refusal(path, Qcow2CreateOptions{.size = 1048576}), Contains("in use"));
    REQUIRE_FALSE(bench.host.wait(disk->close()));
  }
  REQUIRE(file_content(path) == pattern(4096, 1));
  bench.create(path, RawCreateOptions{.size = 8192});
  REQUIRE(file_content(path) == zeros(8192));
}

TEST_CASE("options that do not go together are refused before anything is touched") {
  Bench bench;
  const std::string path = bench.dir.path("disk");
  REQUIRE_THAT(bench.refusal(path, RawCreateOptions{.preallocation = Preallocation::metadata}),
               Contains("metadata"));
  REQUIRE_THAT(bench.refusal(path, Qcow2CreateOptions{.backing_file = "x"}), Contains("format"));
  struct ::stat status {};
  REQUIRE(::stat(path.c_str(), &status) != 0);
}

TEST_CASE("a job that is told to stop ends with that error") {
  Bench bench;
  const std::string path = bench.dir.path("disk");
  constexpr uint64_t kSize = uint64_t{256} << 20;
  const CreateOptions options = GENERATE(values<CreateOptions>(
      {RawCreateOptions{.size = kSize, .preallocation = Preallocation::falloc},
       Qcow2CreateOptions{.size = kSize, .preallocation = Preallocation::falloc}}));
  uint64_t calls = 0;
  const auto stop = [&](uint64_t done, uint64_t total) {
    ++calls;
    CHECK(done < total);
    return false;
  };
  try {
    bench.create(path, options, stop);
    FAIL("it did not stop");
  } catch (const std::system_error& error) {
    REQUIRE(error.code() == std::errc::operation_canceled);
  }
  REQUIRE(calls == 1);
}

TEST_CASE("an image with a data file makes both") {
  Bench bench;
  const std::string path = bench.dir.path("disk.qcow2");
  bench.create(path,
               Qcow2CreateOptions{.size = 1048576, .data_file = "data", .data_file_raw = true});
  REQUIRE(file_content(bench.dir.path("data")) == zeros(1048576));
  const auto image = bench.describe_file(path);
  REQUIRE(image.facts.data_file == "data");
}

TEST_CASE("an image is described without opening what it names") {
  Bench bench;
  const std::string path = bench.dir.path("overlay");
  bench.create(path,
               Qcow2CreateOptions{
                   .size = 3 << 20, .backing_file = "missing/base.raw", .backing_format = "raw"});
  const ImageDescription image = bench.describe_file(path);
  REQUIRE(image.format == "qcow2");
  REQUIRE(image.facts.virtual_size == 3 << 20);
  REQUIRE(image.facts.backing_file == "missing/base.raw");
  REQUIRE(bench.describe_file(bench.dir.file("plain", 5000)).format == "raw");
}

TEST_CASE("the layout of an image tells kinds and places") {
  Bench bench;
  const std::string path = bench.dir.path("disk.qcow2");
  bench.create(path, Qcow2CreateOptions{.size = 1048576});
  const auto disk = bench.host.wait(open_disk(bench.host.host(), "vda", {.location = path}));
  REQUIRE_FALSE(write_bytes(bench.host, *disk, 65536, pattern(131072, 1)));
  REQUIRE_FALSE(bench.host.wait(disk->zero(131072, 65536)));
  auto& image = dynamic_cast<Qcow2&>(disk->graph());
  const auto layout = [&](uint64_t offset) {
    return bench.host.wait(image.layout(offset, 1048576 - offset)).value;
  };
  REQUIRE(layout(0).kind == qcow2::Kind::unallocated);
  REQUIRE(layout(0).length == 65536);
  REQUIRE(layout(65536).kind == qcow2::Kind::data);
  REQUIRE(layout(65536).length == 65536);
  REQUIRE(layout(70000).host == *layout(65536).host + 70000 - 65536);
  REQUIRE(layout(70000).length == 131072 - 70000);
  REQUIRE(layout(131072).kind == qcow2::Kind::zero);
  REQUIRE(layout(131072).zero);
  REQUIRE(layout(196608).length == 1048576 - 196608);
  REQUIRE_FALSE(bench.host.wait(disk->close()));
}

TEST_CASE("the full size of a file holds every cluster and its tables") {
  // 1 GiB: header, 16384 clusters, 2 L2 tables, L1 table, refcount table, 1 refcount block.
  REQUIRE(full_file_size({.size = uint64_t{1} << 30}) == (1 + 16384 + 2 + 1 + 1 + 1) * 65536);
  REQUIRE(full_file_size({.size = 0}) == 3 * 65536);
}

TEST_CASE("a preallocated overlay shows its backing image") {
  TestHost host;
  const TempDir dir;
  const auto how = GENERATE(Preallocation::metadata, Preallocation::falloc, Preallocation::full);
  CAPTURE(static_cast<int>(how));
  constexpr uint64_t kSize = 256 * 1024;
  const std::string base = dir.file("base.raw", kSize), top = dir.path("top.qcow2");
  auto below = host.wait(open_disk(host.host(), "base", {.location = base}));
  REQUIRE_FALSE(write_bytes(host, *below, 0, pattern(kSize, 1)));
  REQUIRE_FALSE(host.wait(below->close()));
  below.reset();
  host.wait(create_image(host.host(), top,
                         Qcow2CreateOptions{.size = kSize,
                                            .extended_l2 = true,
                                            .preallocation = how,
                                            .backing_file = "base.raw",
                                            .backing_format = "raw"}));
  const Spec spec{.location = top, .references = References::any};
  auto image = host.wait(open_disk(host.host(), "top", spec));
  CHECK(read_bytes(host, *image, 0, kSize) == pattern(kSize, 1));
  REQUIRE_FALSE(write_bytes(host, *image, 5000, pattern(3000, 2)));
  std::vector<std::byte> expected = pattern(kSize, 1);
  const std::vector<std::byte> written = pattern(3000, 2);
  std::copy(written.begin(), written.end(), expected.begin() + 5000);
  CHECK(read_bytes(host, *image, 0, kSize) == expected);
  REQUIRE_FALSE(host.wait(image->close()));
}

TEST_CASE("the smallest clusters have room for a backing file, now or later") {
  Bench bench;
  const std::string top = bench.dir.path("top.qcow2"), later = bench.dir.path("later.qcow2");
  bench.create(
      top,
      Qcow2CreateOptions{
          .size = 65536, .cluster_size = 512, .backing_file = "base.raw", .backing_format = "raw"});
  CHECK(bench.describe_file(top).facts.backing_file == "base.raw");
  bench.create(later, Qcow2CreateOptions{.size = 65536, .cluster_size = 512});
  {
    const auto disk = bench.host.wait(open_disk(bench.host.host(), "later", {.location = later}));
    auto& image = dynamic_cast<Qcow2&>(format_node(*disk));
    REQUIRE_FALSE(bench.host.wait(image.set_backing("base.raw", "raw")));
    REQUIRE_FALSE(bench.host.wait(disk->close()));
  }
  CHECK(bench.describe_file(later).facts.backing_file == "base.raw");
}

TEST_CASE("a data file lies wherever its maker wants it") {
  Bench bench;
  const TempDir other;
  const std::string path = bench.dir.path("image.qcow2"), data = other.path("data.raw");
  bench.create(path, Qcow2CreateOptions{.size = 65536, .data_file = data, .data_file_raw = true});
  CHECK(file_content(data) == zeros(65536));
}
