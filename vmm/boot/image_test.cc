#include "vmm/boot/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/boot/testing/kernels.h"

namespace vireo {
namespace {

using Catch::Contains;
using testing::Bytes;
using testing::TempDir;

}  // namespace

TEST_CASE("a file that cannot be an image is refused in one sentence") {
  const TempDir dir;
  CHECK_THROWS_WITH(FileImage("kernel", dir.path() / "none"),
                    Contains("kernel '") && Contains("is missing: there is no such file"));
  CHECK_THROWS_WITH(FileImage("kernel", dir.path()), Contains("is not a regular file"));
  CHECK_THROWS_WITH(FileImage("initrd", dir.write("empty", {})),
                    Contains("initrd '") && Contains("is empty"));
  REQUIRE(::mkfifo((dir.path() / "fifo").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(FileImage("kernel", dir.path() / "fifo"), Contains("is not a regular file"));
}

TEST_CASE("reads stay inside the image") {
  const TempDir dir;
  const Bytes content = testing::pattern(10000);
  const FileImage file("kernel", dir.write("k", content));
  const MemoryImage memory("kernel 'm'", content);
  for (const Image* image :
       {static_cast<const Image*>(&file), static_cast<const Image*>(&memory)}) {
    Bytes into(100);
    image->read(9900, into);
    CHECK(std::equal(into.begin(), into.end(), content.begin() + 9900));
    CHECK_THROWS_WITH(image->read(9901, into), Contains("truncated"));
    CHECK_THROWS_AS(image->read(UINT64_MAX, into), ConfigError);
    CHECK_THROWS_AS(image->load(9901, into), ConfigError);
    CHECK_NOTHROW(image->read(10000, {}));
    CHECK_FALSE(image->contains(1, UINT64_MAX));
  }
}

TEST_CASE("a file that shrinks while it is read is an error, not a crash") {
  const TempDir dir;
  const auto path = dir.write("k", testing::pattern(10000));
  const FileImage file("kernel", path);
  REQUIRE(::truncate(path.c_str(), 100) == 0);
  Bytes into(100);
  CHECK_THROWS_WITH(file.read(5000, into), Contains("cannot read kernel"));
}

TEST_CASE("what is loaded into guest memory lies where it should, small or large") {
  GuestMemory memory({.size = 16 * MiB});
  const size_t size = GENERATE(uint64_t{100}, 5 * MiB + 3);
  const Bytes content = testing::pattern(size);
  load_into(memory, 2 * MiB + 5, MemoryImage("kernel 'm'", content), 0, size);
  CHECK(std::ranges::equal(memory.range(2 * MiB + 5, size).value(), content));
  CHECK(all_zero(memory.range(0, 2 * MiB + 5).value()));
  CHECK(all_zero(memory.range(2 * MiB + 5 + size, 16 * MiB - (2 * MiB + 5 + size)).value()));
}

TEST_CASE("loading into zeroed memory gives the image, holes and all") {
  const TempDir dir;
  Bytes content(200 * 1024);
  for (const size_t at : {0U, 70000U, 131072U, 204799U}) content[at] = std::byte{0x5a};
  const auto path = dir.path() / "sparse";
  {
    const UniqueFd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(content.size())) == 0);
    for (const size_t at : {0U, 70000U, 131072U, 204799U})
      REQUIRE(!pwrite_all(fd.get(), std::span(content).subspan(at, 1), at));
  }
  const FileImage file("kernel", path);
  const MemoryImage memory("kernel 'm'", content);
  for (const Image* image :
       {static_cast<const Image*>(&file), static_cast<const Image*>(&memory)}) {
    for (const size_t offset : {0U, 1U, 4095U, 69999U, 131073U}) {
      Bytes into(content.size() - offset);
      image->load(offset, into);
      CHECK(std::equal(into.begin(), into.end(),
                       content.begin() + static_cast<std::ptrdiff_t>(offset)));
    }
  }
}

}  // namespace vireo
