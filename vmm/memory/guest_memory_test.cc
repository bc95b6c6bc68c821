#include "vmm/memory/guest_memory.h"

#include <sys/sysinfo.h>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

TEST_CASE("memory lies below the gap, and goes on above it") {
  const GuestMemory small({.size = 2 * MiB});
  REQUIRE(small.regions().size() == 1);
  CHECK(small.range(0, 2 * MiB)->size() == 2 * MiB);

  const GuestMemory large({.size = 3 * GiB + 8 * MiB});  // reserved, not touched
  REQUIRE(large.regions().size() == 2);
  CHECK(large.regions()[1].start == 4 * GiB);
  CHECK(large.regions()[1].bytes.size() == 8 * MiB);
  CHECK(large.write<uint32_t>(4 * GiB + 8 * MiB - 4, 7));
  CHECK(large.read<uint32_t>(4 * GiB + 8 * MiB - 4) == 7U);
}

TEST_CASE("nothing outside RAM has a pointer") {
  const GuestMemory memory({.size = 3 * GiB + 8 * MiB});
  CHECK_FALSE(memory.range(3 * GiB, 1));
  CHECK_FALSE(memory.range(3 * GiB - 1, 2));
  CHECK_FALSE(memory.range(4 * GiB - 1, 2));
  CHECK_FALSE(memory.range(4 * GiB + 8 * MiB, 1));
  CHECK_FALSE(memory.range(4 * GiB, ~0ULL));
  CHECK_FALSE(memory.range(~0ULL, 2));
  CHECK_FALSE(memory.read<uint64_t>(3 * GiB - 4));
  CHECK_FALSE(memory.write<uint64_t>(~0ULL - 3, 0));
}

TEST_CASE("each region starts where a large page does") {
  const GuestMemory memory({.size = 3 * GiB + 8 * MiB});
  for (const auto& region : memory.regions())
    CHECK(reinterpret_cast<uintptr_t>(region.bytes.data()) % (2 * MiB) == 0);
}

TEST_CASE("an empty range is fine anywhere") {
  const GuestMemory memory({.size = 1 * MiB});
  REQUIRE(memory.range(~0ULL, 0));
  CHECK(memory.range(~0ULL, 0)->empty());
}

TEST_CASE("shared memory has a file, and clearing gives zeros in both kinds") {
  for (const bool shared : {false, true}) {
    GuestMemory memory({.size = 1 * MiB, .shared = shared});
    CHECK((memory.fd() >= 0) == shared);
    CHECK(memory.write<uint32_t>(0x1000, 0xdeadbeef));
    memory.clear();
    CHECK(memory.read<uint32_t>(0x1000) == 0U);
  }
}

TEST_CASE("sizes that cannot be are refused") {
  for (const uint64_t size :
       {uint64_t{0}, uint64_t{3}, 1 * MiB - 1, 1 * MiB + 1, uint64_t{1} << 62}) {
    INFO(size);
    CHECK_THROWS_AS(GuestMemory({.size = size}), ConfigError);
  }
  CHECK_THROWS_WITH(GuestMemory({.size = 1 * MiB, .hugetlb = true}),
                    Catch::Contains("multiple of 2M"));
}

TEST_CASE("huge pages that the host's pool has not are refused at once") {
  struct sysinfo info {};
  REQUIRE(::sysinfo(&info) == 0);
  const uint64_t all = uint64_t{info.totalram} * info.mem_unit / (2 * MiB) * (2 * MiB);
  for (const bool shared : {false, true})
    CHECK_THROWS_WITH(GuestMemory({.size = all, .shared = shared, .hugetlb = true}),
                      Catch::Contains("guest"));
}

}  // namespace
}  // namespace vireo
