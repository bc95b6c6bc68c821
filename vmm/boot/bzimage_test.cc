#include "vmm/boot/bzimage.h"

#include <array>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/boot/testing/kernels.h"

namespace vireo {
namespace {

using Catch::Contains;
using testing::Bytes;
using testing::make_bzimage;
using testing::poke;

std::optional<BzImage> parse(const Bytes& bytes) {
  return parse_bzimage(MemoryImage("kernel 'k'", bytes));
}

bool inside(const BzImage::Extent& extent, const Bytes& bytes) {
  return extent.offset <= bytes.size() && extent.length <= bytes.size() - extent.offset;
}

// What bzimage.h promises.
void check_promises(const BzImage& image, const Bytes& bytes) {
  CHECK(inside(image.code, bytes));
  CHECK(image.code.length > BzImage::kEntry64);
  if (image.payload) CHECK(inside(*image.payload, bytes));
  CHECK(image.setup_header.size() <= BzImage::kSetupHeaderEnd - BzImage::kSetupHeader);
  if (image.relocatable) CHECK(std::has_single_bit(image.alignment));
}

struct Field {
  const char* name;
  size_t offset, size;
};
constexpr std::array kFields{
    Field{"setup_sects", 0x1f1, 1},     Field{"syssize", 0x1f4, 4},
    Field{"boot_flag", 0x1fe, 2},       Field{"jump", 0x200, 2},
    Field{"header", 0x202, 4},          Field{"version", 0x206, 2},
    Field{"kernel_version", 0x20e, 2},  Field{"loadflags", 0x211, 1},
    Field{"initrd_addr_max", 0x22c, 4}, Field{"kernel_alignment", 0x230, 4},
    Field{"relocatable", 0x234, 1},     Field{"xloadflags", 0x236, 2},
    Field{"cmdline_size", 0x238, 4},    Field{"payload_offset", 0x248, 4},
    Field{"payload_length", 0x24c, 4},  Field{"setup_data", 0x250, 8},
    Field{"pref_address", 0x258, 8},    Field{"init_size", 0x260, 4}};

}  // namespace

TEST_CASE("a bzImage's header is read") {
  const Bytes payload = testing::pattern(1000);
  const Bytes bytes = make_bzimage({.payload = payload});
  const auto image = parse(bytes);
  REQUIRE(image);
  CHECK(image->code.offset == testing::kTestSetup);
  CHECK(image->code.length == bytes.size() - testing::kTestSetup);
  REQUIRE(image->payload);
  CHECK(image->payload->offset == testing::kTestSetup + 4096);
  CHECK(image->payload->length == 1000);
  CHECK(image->has_64bit_entry);
  CHECK(image->relocatable);
  CHECK(image->preferred_address == 16 * MiB);
  CHECK(image->init_size == MiB);
  CHECK(image->command_line_size == 2047);
  CHECK(image->initrd_limit == 0x80000000);
  CHECK(image->setup_header.size() == 0x202 + 0x6a - 0x1f1);
}

TEST_CASE("a bzImage tells its release, when it can be part of a path") {
  const auto release_of = [](std::string_view text, uint16_t where = 0x100) {
    Bytes bytes = make_bzimage({.payload = testing::pattern(1000)});
    poke(bytes, 0x20e, le16(where));
    std::ranges::copy(bytes_of_text(text), bytes.begin() + 0x300);
    return parse(bytes)->release;
  };
  CHECK(release_of("6.1.0-41-amd64 (someone@somewhere) #1") == "6.1.0-41-amd64");
  CHECK(release_of(std::string_view("5.4.0+\0x", 8)) == "5.4.0+");
  CHECK(release_of("../../etc x").empty());
  CHECK(release_of(".. x").empty());
  CHECK(release_of("6.1", 0).empty());
  CHECK(release_of("6.1", 0xffff).empty());
}

TEST_CASE("older protocols tell less") {
  CHECK_FALSE(parse(make_bzimage({.payload = Bytes(100), .version = 0x207}))->payload);
  CHECK(parse(make_bzimage({.payload = Bytes(100), .version = 0x208}))->payload);
  CHECK(parse(make_bzimage({.version = 0x209}))->init_size == 0);
  CHECK(parse(make_bzimage({.version = 0x20a}))->init_size == MiB);
  CHECK_FALSE(parse(make_bzimage({.version = 0x20b}))->has_64bit_entry);
  CHECK(parse(make_bzimage({.version = 0x20c}))->has_64bit_entry);
  CHECK_FALSE(parse(make_bzimage({.extended_load_flags = 0}))->has_64bit_entry);
  CHECK_THROWS_WITH(parse(make_bzimage({.version = 0x205})),
                    Contains("boot protocol 2.05, 2.06 is needed"));
}

TEST_CASE("what is no bzImage is not one") {
  CHECK_FALSE(parse(testing::pattern(10000)));
  CHECK_FALSE(parse(Bytes(0x205)));
  CHECK_FALSE(parse(Bytes(1)));
}

TEST_CASE("a bzImage that is cut off anywhere is refused or none") {
  const Bytes whole = make_bzimage({.payload = testing::pattern(1000)});
  for (size_t size = 1; size + 16 <= whole.size(); size += 13) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    if (size < 0x206) {
      CHECK_FALSE(parse(cut));
    } else {
      CHECK_THROWS_WITH(parse(cut), Contains("truncated"));
    }
  }
}

TEST_CASE("the code's size may be rounded up to 16 beyond the file") {
  Bytes bytes = make_bzimage({});
  bytes.resize(bytes.size() - 15);
  const auto image = parse(bytes);
  REQUIRE(image);
  CHECK(image->code.offset + image->code.length == bytes.size());
}

TEST_CASE("a corrupt bzImage says so") {
  Bytes bytes = make_bzimage({.payload = testing::pattern(1000)});
  SECTION("payload offset") {
    poke(bytes, 0x248, le32(4096 + 1008 - 999));
    CHECK_THROWS_WITH(parse(bytes), Contains("packed kernel lies outside"));
  }
  SECTION("payload length") {
    poke(bytes, 0x24c, le32(0xffffffff));
    CHECK_THROWS_WITH(parse(bytes), Contains("packed kernel lies outside"));
  }
  SECTION("alignment") {
    poke(bytes, 0x230, le32(3));
    CHECK_THROWS_WITH(parse(bytes), Contains("power of two"));
  }
  SECTION("zImage") {
    poke(bytes, 0x211, uint8_t{0});
    CHECK_THROWS_WITH(parse(bytes), Contains("zImage"));
  }
}

TEST_CASE("hostile values in every bzImage field are refused or keep the promises") {
  const Bytes good = make_bzimage({.payload = testing::pattern(1000)});
  for (const Field& field : kFields) {
    for (const uint64_t value :
         {uint64_t{0}, uint64_t{1}, uint64_t{0x7f}, uint64_t{0xff}, uint64_t{0x20f},
          uint64_t{good.size()}, uint64_t{0x7fffffff}, uint64_t{0x80000000}, uint64_t{0xfffffff0},
          uint64_t{0xffffffff}, UINT64_MAX}) {
      Bytes bytes = good;
      const le64 raw = value;
      std::memcpy(bytes.data() + field.offset, &raw, field.size);
      INFO(field.name << " = " << value);
      try {
        if (const auto image = parse(bytes)) check_promises(*image, bytes);
      } catch (const ConfigError&) {
        SUCCEED("refused");
      }
    }
  }
}

}  // namespace vireo
