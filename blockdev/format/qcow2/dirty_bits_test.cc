#include "blockdev/format/qcow2/dirty_bits.h"

#include <catch2/catch.hpp>

using namespace vireo::blk::qcow2;

TEST_CASE("a mark covers every granule that it touches") {
  DirtyBits bits(1024, 2);  // parts of 16 bits: 16 KiB of the disk
  bits.mark(0, 1);
  bits.mark(3 * 1024 + 1023, 2);
  bits.mark(15 * 1024, 2 * 1024);
  bits.mark(64 * 1024, 0);
  CHECK(bits.bytes() == 4);
  const DirtyBits::Parts parts = bits.take();
  REQUIRE(parts.size() == 2);
  CHECK(parts.at(0) == DirtyBits::Part{std::byte{0b00011001}, std::byte{0b10000000}});
  CHECK(parts.at(1) == DirtyBits::Part{std::byte{1}, std::byte{0}});
  CHECK(bits.bytes() == 0);
}

TEST_CASE("bits are set and cleared inside bytes and over them") {
  DirtyBits::Part part(4, std::byte{0});
  set_bits(part, 3, 29, true);
  CHECK(part ==
        DirtyBits::Part{std::byte{0xf8}, std::byte{0xff}, std::byte{0xff}, std::byte{0x1f}});
  set_bits(part, 5, 24, false);
  CHECK(part == DirtyBits::Part{std::byte{0x18}, std::byte{0}, std::byte{0}, std::byte{0x1f}});
}
