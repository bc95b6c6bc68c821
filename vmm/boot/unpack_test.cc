#include "vmm/boot/unpack.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/boot/testing/packers.h"

namespace vireo {
namespace {

using Catch::Contains;
using testing::Bytes;
using testing::Packer;
using testing::poke;

bool unpacks_to(const Bytes& packed, const Bytes& plain) {
  const auto pages = unpack_kernel(packed, "kernel 'k'");
  return pages && std::ranges::equal(pages->bytes(), plain);
}

}  // namespace

TEST_CASE("every packing comes out as it went in") {
  const Packer packer = GENERATE(from_range(testing::kPackers));
  const Bytes plain = testing::pattern(300'000);
  INFO(packer.name);
  CHECK(unpacks_to(packer.pack(plain), plain));
}

TEST_CASE("files come out as they went in, packed or not") {
  const Bytes plain = testing::pattern(300'000);
  const auto unpacks = [&](Bytes file) {
    return std::ranges::equal(unpack_file(file, 300'000, "file 'f'").bytes(), plain);
  };
  CHECK(unpacks(plain));
  for (const std::string_view name : {"xz", "zstd"}) {
    const auto packer = std::ranges::find(testing::kPackers, name, &Packer::name);
    Bytes packed = packer->pack(plain);
    packed.resize(packed.size() - sizeof(le32));  // what the kernel's build appends
    CHECK(unpacks(packed));
    CHECK_THROWS_WITH(unpack_file(packed, 299'999, "file 'f'"), Contains("file 'f'"));
    packed.resize(packed.size() / 2);
    CHECK_THROWS_WITH(unpack_file(packed, 300'000, "file 'f'"), Contains("corrupt"));
  }
  CHECK_THROWS_WITH(unpack_file(plain, 299'999, "file 'f'"), Contains("299999"));
  CHECK_THROWS_WITH(unpack_file({}, 1, "file 'f'"), Contains("file 'f' has 0 bytes"));
}

TEST_CASE("the x86 branch filter of xz is undone") {
  // Calls with the same target from many places: what the filter rewrites.
  Bytes plain;
  for (uint32_t i = 0; i < 2000; ++i) {
    poke(plain, plain.size(), uint8_t{0xe8});
    poke(plain, plain.size(), le32(100'000 - i * 9));
    poke(plain, plain.size(), le32(0x90909090));
  }
  CHECK(unpacks_to(testing::pack_xz(plain), plain));
}

TEST_CASE("LZ4 blocks follow each other") {
  Bytes plain(9 * MiB);  // a block has 8 MiB
  plain[8 * MiB - 1] = plain[8 * MiB] = plain.back() = std::byte{7};
  CHECK(unpacks_to(testing::pack_lz4(plain), plain));
}

TEST_CASE("packed data that is cut off or changed is corrupt, whatever the packing") {
  const Packer packer = GENERATE(from_range(testing::kPackers));
  const Bytes plain = testing::pattern(100'000);
  Bytes packed = packer.pack(plain);
  INFO(packer.name);
  const auto size = static_cast<uint32_t>(plain.size());
  SECTION("cut off") {
    packed.resize(packed.size() / 2);
    testing::append_size(packed, size);
    CHECK_THROWS_WITH(unpack_kernel(packed, "kernel 'k'"),
                      Contains("kernel 'k' is corrupt") && Contains(packer.name));
  }
  SECTION("larger than it says") {
    poke(packed, packed.size() - 4, le32(size - 1));
    CHECK_THROWS_WITH(unpack_kernel(packed, "kernel 'k'"), Contains("is corrupt"));
  }
  SECTION("smaller than it says") {
    poke(packed, packed.size() - 4, le32(size + 1));
    CHECK_THROWS_WITH(unpack_kernel(packed, "kernel 'k'"), Contains("is corrupt"));
  }
  SECTION("much larger than is allowed") {
    poke(packed, packed.size() - 4, le32(0xffffffff));
    CHECK_THROWS_WITH(unpack_kernel(packed, "kernel 'k'"), Contains("4294967295 bytes"));
  }
  SECTION("any byte changed: refused, or the right size") {
    for (size_t at = 0; at + 4 < packed.size(); at += packed.size() / 97 + 1) {
      Bytes changed = packed;
      changed[at] ^= std::byte{0x55};
      try {
        if (const auto pages = unpack_kernel(changed, "k")) CHECK(pages->bytes().size() == size);
      } catch (const ConfigError&) {
        SUCCEED("refused");
      }
    }
  }
}

TEST_CASE("an unknown packing is left to the guest") {
  CHECK_FALSE(unpack_kernel({}, "k"));
  CHECK_FALSE(unpack_kernel(Bytes(3), "k"));
  CHECK_FALSE(unpack_kernel(testing::pattern(1000, 3), "k"));
  Bytes lzo(1000);
  poke(lzo, 0, be64(0x894c5a4f000d0a1a));
  CHECK_FALSE(unpack_kernel(lzo, "k"));
}

TEST_CASE("a dictionary beyond our limit is left to the guest") {
  Bytes packed = testing::pack_lzma(testing::pattern(1000));
  poke(packed, 1, le32(0xf0000000));  // the dictionary's size
  packed[1] = packed[2] = std::byte{0};
  CHECK_FALSE(unpack_kernel(packed, "k"));
}

TEST_CASE("pages begin as zeros and move") {
  Pages pages(10000);
  CHECK(pages.bytes().size() == 10000);
  CHECK(pages.bytes()[9999] == std::byte{0});
  pages.bytes()[5] = std::byte{1};
  Pages other = std::move(pages);
  CHECK(other.bytes()[5] == std::byte{1});
  other = Pages(5);
  CHECK(other.bytes().size() == 5);
}

}  // namespace vireo
