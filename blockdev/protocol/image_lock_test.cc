#include "blockdev/protocol/image_lock.h"

#include <fcntl.h>

#include <catch2/catch.hpp>

#include "blockdev/testing/fixtures.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using Catch::Matchers::Contains;

namespace {

// Each open is a lock holder of its own, as another process would be.
struct Image {
  TempDir dir;
  std::string path = dir.file("disk.img", 4096);

  UniqueFd open() const { return UniqueFd{::open(path.c_str(), O_RDWR | O_CLOEXEC)}; }
  std::string refusal(const UniqueFd& fd, bool write) const {
    try {
      lock_image(fd.get(), path, write);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }
  // What another program of the protocol holds or looks for.
  static bool lock_byte(const UniqueFd& fd, off_t byte) {
    struct ::flock range {
      .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
    };
    return ::fcntl(fd.get(), F_OFD_SETLK, &range) == 0;
  }
  static bool is_free(const UniqueFd& fd, off_t byte) {
    struct ::flock range {
      .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
    };
    return ::fcntl(fd.get(), F_OFD_GETLK, &range) == 0 && range.l_type == F_UNLCK;
  }
};

}  // namespace

TEST_CASE("a second writer of an image is refused and told what to do") {
  const Image image;
  const UniqueFd first = image.open();
  const UniqueFd second = image.open();
  REQUIRE(image.refusal(first, true).empty());
  const std::string text = image.refusal(second, true);
  REQUIRE_THAT(text, Contains(image.path) && Contains("in use") && Contains("read-only"));
}

TEST_CASE("readers share an image with readers, not with a writer") {
  const Image image;
  const UniqueFd first = image.open();
  const UniqueFd second = image.open();
  const UniqueFd writer = image.open();
  REQUIRE(image.refusal(first, false).empty());
  REQUIRE(image.refusal(second, false).empty());
  REQUIRE_FALSE(image.refusal(writer, true).empty());
}

TEST_CASE("a reader is refused while there is a writer, and let in afterwards") {
  const Image image;
  UniqueFd writer = image.open();
  REQUIRE(image.refusal(writer, true).empty());
  REQUIRE_FALSE(image.refusal(image.open(), false).empty());
  writer.reset();
  REQUIRE(image.refusal(image.open(), false).empty());
}

TEST_CASE("the locks are where QEMU looks for them") {
  const Image image;
  const UniqueFd ours = image.open();
  const UniqueFd other = image.open();
  REQUIRE(image.refusal(ours, true).empty());
  for (const off_t byte : {100, 101, 103, 201, 203}) {
    CAPTURE(byte);
    REQUIRE_FALSE(Image::is_free(other, byte));
  }
  for (const off_t byte : {102, 104, 200, 202, 204}) {
    CAPTURE(byte);
    REQUIRE(Image::is_free(other, byte));
  }
}

TEST_CASE("what QEMU holds keeps us out") {
  const Image image;
  const UniqueFd qemu = image.open();
  REQUIRE(Image::lock_byte(qemu, 100));
  SECTION("its writing keeps out readers") {
    REQUIRE(Image::lock_byte(qemu, 101));
    REQUIRE_FALSE(image.refusal(image.open(), false).empty());
  }
  SECTION("its resizing keeps out readers") {
    REQUIRE(Image::lock_byte(qemu, 103));
    REQUIRE_FALSE(image.refusal(image.open(), false).empty());
  }
  SECTION("its not sharing of writes keeps out writers, not readers") {
    REQUIRE(Image::lock_byte(qemu, 201));
    REQUIRE(image.refusal(image.open(), false).empty());
    REQUIRE_FALSE(image.refusal(image.open(), true).empty());
  }
  SECTION("its not sharing of reads keeps out everybody") {
    REQUIRE(Image::lock_byte(qemu, 200));
    REQUIRE_FALSE(image.refusal(image.open(), false).empty());
  }
}
