// Images as the world has them: cut short, grown under us, with links missing, with features of
// other programs. A clear error, nothing lost, and what we do not know stays as it is.
#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "blockdev/open.h"
#include "blockdev/testing/qcow2_fixture.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using namespace vireo::blk::qcow2;
using Catch::Matchers::Contains;

namespace {

constexpr uint64_t kDisk = 1024 * 1024;

// An image file on the host's disk, made from one in memory.
void make_image(World& world, const std::string& path, const std::string& backing = {}) {
  Qcow2CreateOptions options{.size = kDisk, .cluster_size = 4096};
  options.backing_file = backing;
  if (!backing.empty()) options.backing_format = "qcow2";
  world.create(options)->save(path);
}

Spec writable(const std::string& path) {
  return Spec{.location = path, .format = "qcow2", .references = References::any};
}

}  // namespace

TEST_CASE("an image that was cut short is refused, or gives what is there and takes no harm") {
  World world;
  const auto whole = world.create({.size = 64 * 1024, .cluster_size = 1024});
  auto image = world.open(whole);
  REQUIRE_FALSE(world.fill(*image, 0, 30000, 5));
  REQUIRE_FALSE(block_on(world.loop, image->create_snapshot("s")));
  REQUIRE_FALSE(world.fill(*image, 5000, 30000, 6));
  REQUIRE_FALSE(block_on(world.loop, image->close()));
  size_t opened = 0, refused = 0;
  for (size_t size = 0; size < whole->bytes.size(); size += 512) {
    CAPTURE(size);
    auto storage = std::make_shared<Storage>(*whole);
    storage->resize(size);
    try {
      image = world.open(storage);
    } catch (const std::exception& error) {
      CHECK_THAT(error.what(), Contains("test.qcow2"));
      ++refused;
      continue;
    }
    ++opened;
    qcow2::Buffer buffer(64 * 1024);
    if (!block_on(world.loop, image->read(0, {buffer.vector()})))
      for (const std::byte byte : std::as_const(buffer).bytes())
        REQUIRE((byte == std::byte{0} || byte == std::byte{5} || byte == std::byte{6}));
    if (size + 1024 <= whole->bytes.size()) {  // a cluster is gone that something refers to
      const CheckResult check = block_on(world.loop, image->check(Repair::none));
      CHECK(check.errors + check.corruptions + check.leaks > 0);
    }
    (void)world.fill(*image, 3000, 9000, 7);
    (void)block_on(world.loop, image->close());
  }
  CHECK(opened > 10);
  CHECK(refused > 10);
}

// What somebody appends to the file of an image that is open is not taken for zeros.
TEST_CASE("an image that grew under us shows nothing of what was appended") {
  World world;
  TestHost host;
  const TempDir dir;
  make_image(world, dir.path("a.qcow2"));
  auto disk = host.wait(open_disk(host.host(), "vda", writable(dir.path("a.qcow2"))));
  {
    std::ofstream file(dir.path("a.qcow2"), std::ios::binary | std::ios::app);
    file << std::string(2 * 1024 * 1024, 'x');
  }
  for (uint64_t at = 0; at < kDisk; at += 4096)
    REQUIRE_FALSE(write_bytes(host, *disk, at + 100, pattern(100, 1)));
  std::vector<std::byte> expected(4096);
  const auto written = pattern(100, 1);
  std::copy(written.begin(), written.end(), expected.begin() + 100);
  for (uint64_t at = 0; at < kDisk; at += 4096)
    REQUIRE(read_bytes(host, *disk, at, 4096) == expected);
  REQUIRE_FALSE(host.wait(disk->close()));
  disk.reset();
  auto storage = std::make_shared<Storage>();
  storage->load(dir.path("a.qcow2"));
  auto image = world.open(storage, {.read_only = true});
  const CheckResult check = block_on(world.loop, image->check(Repair::none));
  CHECK(check.errors + check.corruptions + check.leaks == 0);
}

TEST_CASE("a link that is missing is named, with the image that asks for it") {
  World world;
  TestHost host;
  const TempDir dir;
  make_image(world, dir.path("top.qcow2"), "middle.qcow2");
  make_image(world, dir.path("middle.qcow2"), "gone.qcow2");
  const auto refusal = [&]() -> std::string {
    try {
      host.wait(open_disk(host.host(), "vda", writable(dir.path("top.qcow2"))));
    } catch (const std::exception& error) {
      return describe(error);
    }
    return "opened";
  };
  CHECK_THAT(refusal(), Contains("gone.qcow2") && Contains("middle.qcow2"));
  SECTION("a loop is none of them") {
    make_image(world, dir.path("gone.qcow2"), "top.qcow2");
    CHECK_THAT(refusal(), Contains("loop") && Contains("top.qcow2"));
  }
  SECTION("a link to itself") {
    make_image(world, dir.path("gone.qcow2"), "gone.qcow2");
    CHECK_THAT(refusal(), Contains("loop") && Contains("gone.qcow2"));
  }
  SECTION("a link that is no image") {
    std::ofstream(dir.path("gone.qcow2")) << "nonsense";
    CHECK_THAT(refusal(), Contains("gone.qcow2"));
  }
}

TEST_CASE("what other programs put into a header stays when we write") {
  World world;
  const auto storage = world.create({.size = kDisk, .cluster_size = 4096});
  Header header = world.open(storage, {.read_only = true})->header();
  header.compatible |= 1 << 5;
  header.autoclear |= 1 << 7;
  header.extensions.push_back({0x12345678, std::vector<std::byte>(13, std::byte{9})});
  const std::vector<std::byte> bytes = serialise_header(header, "test.qcow2");
  std::copy(bytes.begin(), bytes.end(), storage->bytes.begin());
  CHECK(world.open(storage, {.read_only = true})->header().autoclear == 1 << 7);
  auto image = world.open(storage);
  REQUIRE_FALSE(world.fill(*image, 0, 100'000, 1));
  REQUIRE_FALSE(block_on(world.loop, image->create_snapshot("s")));
  REQUIRE_FALSE(block_on(world.loop, image->resize(2 * kDisk)));
  REQUIRE_FALSE(block_on(world.loop, image->set_backing("base.raw", "raw")));
  REQUIRE_FALSE(block_on(world.loop, image->close()));
  const Header after = world.open(storage, {.read_only = true, .no_backing = true})->header();
  CHECK(after.compatible == header.compatible);
  CHECK(after.autoclear == 0);
  const auto kept = std::find_if(after.extensions.begin(), after.extensions.end(),
                                 [](const HeaderExtension& e) { return e.type == 0x12345678; });
  REQUIRE(kept != after.extensions.end());
  CHECK(kept->data == std::vector<std::byte>(13, std::byte{9}));
}

TEST_CASE("an encrypted image is refused in words") {
  World world;
  const auto storage = world.create({.size = kDisk, .cluster_size = 4096});
  storage->bytes[35] = std::byte{GENERATE(as<uint8_t>{}, 1, 2)};  // crypt_method
  CHECK_THROWS_WITH(world.open(storage), Contains("encrypted"));
}
