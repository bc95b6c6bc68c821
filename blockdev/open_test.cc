#include "blockdev/open.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "blockdev/create.h"
#include "blockdev/testing/fixtures.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

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

  // A qcow2 image with these names in it.
  std::string image(const std::string& name, const std::string& backing,
                    const std::string& data = "") {
    const std::string path = dir.path(name);
    host.wait(create_image(host.host(), path,
                           Qcow2CreateOptions{.size = 65536,
                                              .backing_file = backing,
                                              .backing_format = backing.empty() ? "" : "raw",
                                              .data_file = data}));
    return path;
  }

  TempDir dir;
  TestHost host;
};

}  // namespace

TEST_CASE("a raw disk opens, works and closes") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 1048576);
  {
    const std::unique_ptr<Disk> disk = bench.open({.location = path});
    REQUIRE(disk->name() == "vda");
    REQUIRE(disk->limits().size == 1048576);
    REQUIRE_FALSE(write_bytes(bench.host, *disk, 1000, pattern(5000, 1)));
    REQUIRE_FALSE(bench.host.wait(disk->close()));
  }
  const std::unique_ptr<Disk> disk = bench.open({.location = path, .read_only = true});
  REQUIRE(read_bytes(bench.host, *disk, 1000, 5000) == pattern(5000, 1));
}

TEST_CASE("the format comes from the ending or from format=, and is never guessed") {
  Bench bench;
  for (const char* name : {"disk.raw", "disk.img"})
    REQUIRE(bench.refusal({.location = bench.dir.file(name, 4096)}).empty());
  const std::string plain = bench.dir.file("disk", 4096);
  REQUIRE_THAT(bench.refusal({.location = plain}),
               Contains(plain) && Contains("format=raw") && Contains("format=qcow2"));
  REQUIRE(bench.refusal({.location = plain, .format = "raw"}).empty());
  REQUIRE_THAT(bench.refusal({.location = plain, .format = "vmdk"}),
               Contains(plain) && Contains("vmdk"));
}

TEST_CASE("a qcow2 image with the name of a raw one needs its format said") {
  Bench bench;
  const CacheMode cache = GENERATE(CacheMode::writeback, CacheMode::none);
  const std::string path = bench.dir.file("cloud.img", 65536);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).write("QFI\xfb", 4);
  REQUIRE_THAT(bench.refusal({.location = path, .cache = cache}),
               Contains(path) && Contains("format=qcow2") && Contains("format=raw"));
  REQUIRE(bench.refusal({.location = path, .format = "raw", .cache = cache}).empty());
}

TEST_CASE("an empty raw image is refused") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 0);
  REQUIRE_THAT(bench.refusal({.location = path}), Contains("empty"));
}

TEST_CASE("two writers of one image are refused unless locking is off") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 4096);
  const std::unique_ptr<Disk> disk = bench.open({.location = path});
  REQUIRE_THAT(bench.refusal({.location = path}), Contains("in use"));
  REQUIRE_THAT(bench.refusal({.location = path, .read_only = true}), Contains("in use"));
  REQUIRE(bench.refusal({.location = path, .lock = false}).empty());
}

TEST_CASE("snapshot=on never writes the image, and lets two of them share it") {
  Bench bench;
  const std::string path = bench.dir.file("disk.img", 1048576);
  const auto before = file_content(path);
  const std::unique_ptr<Disk> one = bench.open({.location = path, .snapshot = true});
  const std::unique_ptr<Disk> other = bench.open({.location = path, .snapshot = true});
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
    const std::unique_ptr<Disk> disk = bench.open({.location = path, .window = window});
    REQUIRE(disk->limits().size == 4096);
    REQUIRE_FALSE(write_bytes(bench.host, *disk, 0, pattern(4096, 1)));
    REQUIRE_FALSE(bench.host.wait(disk->close()));
  }
  const auto content = file_content(path);
  REQUIRE(std::vector(content.begin() + 65536, content.begin() + 69632) == pattern(4096, 1));
  REQUIRE_THAT(bench.refusal({.location = path, .window = {.offset = 2097152}}),
               Contains(path) && Contains("does not fit"));
}

TEST_CASE("cache modes are known by QEMU's words") {
  REQUIRE(parse_cache_mode("writeback") == CacheMode::writeback);
  REQUIRE(parse_cache_mode("none") == CacheMode::none);
  REQUIRE(parse_cache_mode("writethrough") == CacheMode::writethrough);
  REQUIRE(parse_cache_mode("unsafe") == CacheMode::unsafe);
  REQUIRE(parse_cache_mode("directsync") == CacheMode::directsync);
  REQUIRE_THROWS_WITH(parse_cache_mode("fast"), Contains("fast") && Contains("none"));
}

TEST_CASE("who moves the bytes can be chosen, as far as the cache mode allows") {
  Bench bench;
  const std::string path = bench.dir.file("disk.raw", 1048576);
  REQUIRE(parse_aio_mode("native") == AioMode::native);
  REQUIRE(parse_aio_mode("threads") == AioMode::threads);
  REQUIRE_THROWS_WITH(parse_aio_mode("bio"), Contains("bio") && Contains("native"));
  REQUIRE_THAT(bench.refusal({.location = path, .aio = AioMode::native}),
               Contains("aio=native needs cache=none"));
  const std::unique_ptr<Disk> disk = bench.open({.location = path, .aio = AioMode::threads});
  REQUIRE_FALSE(write_bytes(bench.host, *disk, 1000, pattern(5000, 1)));
  REQUIRE_FALSE(bench.host.wait(disk->close()));
}

TEST_CASE("a looked-at format opens what it is, and no other file") {
  Bench bench;
  (void)bench.dir.file("base", 65536);
  const auto probed = [](const std::string& path) {
    return Spec{.location = path, .format = kProbe, .references = References::any};
  };
  REQUIRE(bench.refusal(probed(bench.image("plain", ""))).empty());
  REQUIRE(bench.refusal(probed(bench.dir.file("disk", 4096))).empty());
  const std::string top = bench.image("top", "base");
  REQUIRE_THAT(bench.refusal(probed(top)), Contains("'base'") && Contains("looking"));
  REQUIRE_THAT(bench.refusal(probed(bench.image("held", "", "data"))), Contains("'data'"));
  REQUIRE(
      bench.refusal({.location = top, .format = "qcow2", .references = References::any}).empty());
  // The ending says the same.
  REQUIRE(bench.refusal(probed(bench.image("top.qcow2", "base"))).empty());
  REQUIRE_THAT(bench.refusal(probed(bench.image("top.img", "base"))), Contains("'base'"));
}

TEST_CASE("formats that cannot be read are named") {
  Bench bench;
  const std::string path = bench.dir.file("disk", 65536);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).write("KDMV", 4);
  REQUIRE_THAT(bench.refusal({.location = path, .format = kProbe}), Contains("vmdk"));
  const ImageDescription image =
      bench.host.wait(describe_image(bench.host.host(), {.location = path}));
  REQUIRE(image.format == "vmdk");
  REQUIRE(image.facts.virtual_size == 0);
}

TEST_CASE("a data file lies beside its image unless the user names it") {
  Bench bench;
  std::filesystem::create_directory(bench.dir.path("images"));
  const std::string victim = bench.dir.file("victim", 65536);
  const auto spec = [](const std::string& path, const std::optional<Location>& data = {}) {
    return Spec{.location = path, .references = References::any, .data_file = data};
  };
  const std::string beside = bench.image("images/good.qcow2", "", "data.raw");
  REQUIRE(bench.refusal(spec(beside)).empty());
  const std::string away = bench.image("images/evil.qcow2", "", "../victim");
  REQUIRE_THAT(bench.refusal(spec(away)), Contains("../victim") && Contains("data-file="));
  REQUIRE(bench.refusal(spec(away, victim)).empty());
  REQUIRE(bench.refusal({.location = away, .references = References::none, .data_file = victim})
              .empty());
  const std::string absolute = bench.image("images/absolute.qcow2", "", victim);
  REQUIRE_THAT(bench.refusal(spec(absolute)), Contains(victim));
  SECTION("a link leads away") {
    std::filesystem::remove(bench.dir.path("images/data.raw"));
    std::filesystem::create_symlink(victim, bench.dir.path("images/data.raw"));
    REQUIRE_THAT(bench.refusal(spec(beside)), Contains("link"));
  }
  SECTION("a FIFO is no data") {
    std::filesystem::remove(bench.dir.path("images/data.raw"));
    REQUIRE(::mkfifo(bench.dir.path("images/data.raw").c_str(), 0600) == 0);
    REQUIRE_THAT(bench.refusal(spec(beside)), Contains("neither"));
  }
}

TEST_CASE("a backing file is a file, whatever name leads to it") {
  Bench bench;
  const std::string base = bench.dir.file("base", 65536);
  const UniqueFd open_file{::open(base.c_str(), O_RDONLY | O_CLOEXEC)};
  REQUIRE(::mkfifo(bench.dir.path("fifo").c_str(), 0600) == 0);
  std::filesystem::create_symlink(base, bench.dir.path("link"));
  const std::string descriptor = std::to_string(open_file.get());
  std::filesystem::create_symlink("/proc/self/fd/" + descriptor, bench.dir.path("inside"));
  const auto refusal = [&](const std::string& name, References references = References::any) {
    return bench.refusal({.location = bench.image("top.qcow2", name), .references = references});
  };
  REQUIRE(refusal("base").empty());
  REQUIRE(refusal("file:base").empty());
  REQUIRE(refusal("link").empty());
  REQUIRE_THAT(refusal("fifo"), Contains("neither"));
  REQUIRE_THAT(refusal("file:fifo"), Contains("neither"));
  REQUIRE_THAT(refusal("/dev/null"), Contains("neither"));
  REQUIRE_THAT(refusal("/dev/fd/" + descriptor), Contains("link"));
  REQUIRE_THAT(refusal("file:/proc/self/fd/" + descriptor), Contains("link"));
  REQUIRE_THAT(refusal("/proc/self/root" + base), Contains("link"));
  REQUIRE_THAT(refusal("inside"), Contains("link"));
  REQUIRE_THAT(refusal("/proc/version"), Contains("kernel"));
  REQUIRE_THAT(refusal("nbd:localhost:10809"), Contains("no file"));
}

TEST_CASE("backing=beside keeps to the image's own folder") {
  Bench bench;
  std::filesystem::create_directory(bench.dir.path("images"));
  const std::string base = bench.dir.file("base", 65536);
  (void)bench.dir.file("images/near", 65536);
  std::filesystem::create_symlink(base, bench.dir.path("images/link"));
  const auto refusal = [&](const std::string& name) {
    return bench.refusal(
        {.location = bench.image("images/top.qcow2", name), .references = References::beside});
  };
  REQUIRE(refusal("near").empty());
  REQUIRE(refusal(bench.dir.path("images/near")).empty());
  REQUIRE_THAT(refusal("../base"), Contains("own folder"));
  REQUIRE_THAT(refusal(base), Contains("own folder"));
  REQUIRE_THAT(refusal("link"), Contains("link"));
}

TEST_CASE("the backing image of a description is what an opened image would open") {
  Bench bench;
  const std::string base = bench.dir.file("base", 65536);
  Spec spec{.location = bench.image("top.qcow2", base), .references = References::any};
  const auto describe = [&] { return bench.host.wait(describe_image(bench.host.host(), spec)); };
  const Spec below = backing_spec(spec, describe());
  REQUIRE(below.name() == base);
  REQUIRE(below.format == "raw");
  REQUIRE(below.read_only);
  spec.references = References::none;
  REQUIRE_THROWS_WITH(backing_spec(spec, describe()), Contains("backing=on"));
}

TEST_CASE("an encrypted image is described without its key, and not opened") {
  Bench bench;
  const std::string path = bench.image("secret.qcow2", "");
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(35)
      .write("\2", 1);  // crypt_method: LUKS
  const ImageDescription image =
      bench.host.wait(describe_image(bench.host.host(), {.location = path}));
  REQUIRE(image.facts.encrypted);
  REQUIRE(image.facts.virtual_size == 65536);
  REQUIRE_THAT(bench.refusal({.location = path}), Contains("encrypted"));
}

TEST_CASE("a backing image that only the user names shows through around what is written") {
  Bench bench;
  const std::string base = bench.dir.file("base.raw", 65536);
  {
    const std::unique_ptr<Disk> disk = bench.open({.location = base});
    REQUIRE_FALSE(write_bytes(bench.host, *disk, 0, pattern(65536, 3)));
    REQUIRE_FALSE(bench.host.wait(disk->close()));
  }
  const auto below = std::make_shared<const Spec>(Spec{.location = base, .read_only = true});
  const std::unique_ptr<Disk> disk =
      bench.open({.location = bench.image("top.qcow2", ""), .below = below});
  const std::vector<std::byte> written = pattern(512, 4);
  REQUIRE_FALSE(write_bytes(bench.host, *disk, 1024, written));
  REQUIRE_FALSE(bench.host.wait(disk->zero(8192, 4096)));
  std::vector<std::byte> expected = pattern(65536, 3);
  std::copy(written.begin(), written.end(), expected.begin() + 1024);
  std::fill_n(expected.begin() + 8192, 4096, std::byte{0});
  CHECK(read_bytes(bench.host, *disk, 0, 65536) == expected);
  REQUIRE_FALSE(bench.host.wait(disk->close()));
}

TEST_CASE("a backing image that only the user names is hidden by zeros") {
  Bench bench;
  const std::string base = bench.dir.file("base.raw", 65536);
  {
    const std::unique_ptr<Disk> disk = bench.open({.location = base});
    REQUIRE_FALSE(write_bytes(bench.host, *disk, 0, pattern(65536, 3)));
    REQUIRE_FALSE(bench.host.wait(disk->close()));
  }
  const auto below = std::make_shared<const Spec>(Spec{.location = base, .read_only = true});
  const std::unique_ptr<Disk> disk =
      bench.open({.location = bench.image("top.qcow2", ""), .below = below});
  REQUIRE_FALSE(bench.host.wait(disk->zero(0, 65536, {.may_unmap = true})));
  CHECK(read_bytes(bench.host, *disk, 0, 65536) == std::vector<std::byte>(65536));
  REQUIRE_FALSE(bench.host.wait(disk->close()));
}

TEST_CASE("the format is found below the filters") {
  Bench bench;
  Spec spec{.location = bench.image("disk.qcow2", "")};
  spec.snapshot = GENERATE(false, true);
  spec.throttle.bps.rate = GENERATE(0, 1 << 20);
  const std::unique_ptr<Disk> disk = bench.open(spec);
  CHECK(dynamic_cast<Qcow2*>(&format_node(*disk)) != nullptr);
  REQUIRE_FALSE(bench.host.wait(disk->close()));
}
