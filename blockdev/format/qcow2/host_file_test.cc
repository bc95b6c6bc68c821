#include "blockdev/format/qcow2/host_file.h"

#include <set>

#include <catch2/catch.hpp>

using namespace vireo::blk::qcow2;

TEST_CASE("a pool's slices are aligned to their size, their own, and used again") {
  constexpr uint32_t kSize = 512;
  constexpr size_t kCount = 100;  // more than one slab
  SlicePool pool(kSize);
  std::set<const std::byte*> seen;
  for (int round = 0; round < 3; ++round) {
    std::vector<Buffer> buffers;
    for (size_t i = 0; i < kCount; ++i) {
      buffers.push_back(pool.zeros());
      REQUIRE(buffers.back().size() == kSize);
      REQUIRE(reinterpret_cast<uintptr_t>(buffers.back().data()) % kSize == 0);
      for (std::byte& byte : buffers.back().bytes()) {
        REQUIRE(byte == std::byte{0});
        byte = static_cast<std::byte>(i + 1);
      }
      seen.insert(buffers.back().data());
    }
    for (size_t i = 0; i < kCount; ++i) {
      const Buffer copy = pool.copy_of(std::as_const(buffers[i]).bytes());
      REQUIRE(copy.data()[0] == static_cast<std::byte>(i + 1));
      REQUIRE(copy.data()[kSize - 1] == static_cast<std::byte>(i + 1));
    }
  }
  REQUIRE(seen.size() <= kCount + 1);
}
