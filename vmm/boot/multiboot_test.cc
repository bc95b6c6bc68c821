#include "vmm/boot/multiboot.h"

#include <array>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/boot/testing/kernels.h"

namespace vireo {
namespace {

using Catch::Contains;
using testing::Bytes;
using testing::peek;
using testing::poke;

constexpr uint32_t kAddresses = 1 << 16;
constexpr EntryArea kArea{0x20000};

struct Header {
  uint32_t flags = kAddresses;
  uint32_t header_address = 0x100100, load_address = 0x100000, load_end = 0, bss_end = 0x110000,
           entry = 0x100200;
};

Bytes flat_kernel(const Header& header, size_t size = 8000, size_t at = 0x100) {
  Bytes bytes = testing::pattern(size);
  poke(bytes, at, le32(0x1badb002));
  poke(bytes, at + 4, le32(header.flags));
  poke(bytes, at + 8, le32(-(0x1badb002 + header.flags)));
  poke(bytes, at + 12, le32(header.header_address));
  poke(bytes, at + 16, le32(header.load_address));
  poke(bytes, at + 20, le32(header.load_end));
  poke(bytes, at + 24, le32(header.bss_end));
  poke(bytes, at + 28, le32(header.entry));
  bytes.resize(size);
  return bytes;
}

struct Loaded {
  GuestMemory memory{{.size = 16 * MiB}};
  RamMap ram{memory, RamMap::LowMemory::is_free};
  uint64_t entry = 0;

  explicit Loaded(const Bytes& bytes) {
    const MemoryImage image("kernel 'k'", bytes);
    const auto header = find_multiboot_header(image);
    if (!header) throw ConfigError("no header");
    entry = load_multiboot(image, *header, memory, ram);
  }
};

}  // namespace

TEST_CASE("a multiboot header is found in the first 8 KiB only") {
  const auto found = [](size_t at, size_t size) {
    const Bytes bytes = flat_kernel({.flags = 0}, size, at);
    return find_multiboot_header(MemoryImage("k", bytes)).has_value();
  };
  CHECK(found(0, 32));
  CHECK(found(8188, 20000));
  CHECK_FALSE(found(8192, 20000));
  CHECK_FALSE(found(6, 1000));  // it is aligned to 4
  CHECK(found(88, 100));
  CHECK_FALSE(found(92, 100));  // cut off
  Bytes wrong = flat_kernel({});
  poke(wrong, 0x108, le32(1));
  CHECK_FALSE(find_multiboot_header(MemoryImage("k", wrong)));
}

TEST_CASE("a flat image goes where its header says") {
  const Bytes bytes = flat_kernel({});
  Loaded loaded(bytes);
  CHECK(loaded.entry == 0x100200);
  const auto there = loaded.memory.range(0x100000, bytes.size()).value();
  CHECK(std::equal(bytes.begin(), bytes.end(), there.begin()));
  CHECK_THROWS_AS(loaded.ram.claim(0x10ffff, 1, "x"), ConfigError);
  CHECK_NOTHROW(loaded.ram.claim(0x110000, 1, "x"));
}

TEST_CASE("a flat image may begin before its header's text and end early") {
  const Bytes bytes = flat_kernel({.header_address = 0x200010,
                                   .load_address = 0x200000,
                                   .load_end = 0x200100,
                                   .bss_end = 0,
                                   .entry = 0x200000});
  Loaded loaded(bytes);
  const auto there = loaded.memory.range(0x200000, 0x101).value();
  CHECK(std::equal(there.begin(), there.end() - 1, bytes.begin() + 0xf0));
  CHECK(there.back() == std::byte{0});
}

TEST_CASE("flat images with impossible addresses are refused") {
  const auto refused = [](const Header& header) {
    try {
      Loaded loaded(flat_kernel(header));
      return std::string("accepted");
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
  };
  CHECK_THAT(refused({.load_address = 0x100101}), Contains("not where"));
  CHECK_THAT(refused({.load_address = 0x0fffff}), Contains("not where"));
  CHECK_THAT(refused({.load_end = 0x100000}), Contains("nothing to load"));
  CHECK_THAT(refused({.load_end = 0x0}), Contains("accepted"));
  CHECK_THAT(refused({.load_end = 0x102000}), Contains("truncated"));
  CHECK_THAT(refused({.load_end = 0xffffffff}), Contains("truncated"));
  CHECK_THAT(refused({.bss_end = 0xffffffff}), Contains("does not fit"));
  CHECK_THAT(refused({.entry = 0xfffff}), Contains("entry point"));
  CHECK_THAT(refused({.entry = 0x110000}), Contains("entry point"));
  CHECK_THAT(
      refused({.header_address = 0x9100, .load_address = 0x9000, .bss_end = 0, .entry = 0x9000}),
      Contains("accepted"));
  CHECK_THAT(refused({.flags = kAddresses | 8}), Contains("multiboot features"));
  CHECK_THAT(refused({.flags = kAddresses | 7}), Contains("accepted"));
  CHECK_THAT(refused({.flags = 0}), Contains("does not say where"));
}

TEST_CASE("hostile values in every multiboot field are refused or load") {
  const Bytes good = flat_kernel({});
  for (size_t field = 0x100; field < 0x120; field += 4) {
    for (const uint32_t value :
         {0U, 1U, 0xffU, 0x100000U, 0x7fffffffU, 0x80000000U, 0xfffffff0U, 0xffffffffU}) {
      Bytes bytes = good;
      poke(bytes, field, le32(value));
      if (field == 0x104) poke(bytes, 0x108, le32(-(0x1badb002 + value)));
      try {
        Loaded loaded(bytes);
      } catch (const ConfigError&) {
        SUCCEED("refused");
      }
    }
  }
}

TEST_CASE("the information structure tells what there is") {
  GuestMemory memory({.size = 16 * MiB});
  const auto e820 = e820_map(memory);
  const EntryState state = enter_multiboot(
      memory, {.entry = 0x100000, .area = kArea, .initrd = Range{0xf00000, 0x1234}, .e820 = e820});
  CHECK(state.mode == EntryState::Mode::protected32);
  CHECK(state.rax == 0x2badb002);
  CHECK(state.rbx == kArea.information());
  const auto low = memory.range(0, MiB).value();
  const auto info = [&](size_t at) { return uint32_t{peek<le32>(low, state.rbx + at)}; };
  CHECK(info(0) == 0x24d);
  CHECK(info(4) == 639);
  CHECK(info(8) == 15 * 1024);
  CHECK(info(16) == kArea.command_line());
  REQUIRE(info(20) == 1);
  CHECK(peek<le32>(low, info(24)) == 0xf00000U);
  CHECK(peek<le32>(low, info(24) + 4) == 0xf01234U);
  CHECK(low[peek<le32>(low, info(24) + 8)] == std::byte{0});
  REQUIRE(info(44) == e820.size() * 24);
  CHECK(peek<le32>(low, info(48)) == 20U);
  CHECK(peek<le64>(low, info(48) + 3 * 24 + 4) == MiB);
  CHECK(peek<le64>(low, info(48) + 3 * 24 + 12) == 15 * MiB);
  CHECK(peek<le32>(low, info(48) + 3 * 24 + 20) == 1U);
  CHECK(std::string(reinterpret_cast<const char*>(&low[info(64)])) == "vireo");
}

TEST_CASE("the information structure tells of a framebuffer") {
  GuestMemory memory({.size = 16 * MiB});
  const auto e820 = e820_map(memory);
  const EntryState state = enter_multiboot(
      memory,
      {.entry = 0x100000,
       .area = kArea,
       .e820 = e820,
       .framebuffer = LinearFramebuffer{.address = 0xe0000000, .width = 800, .height = 600}});
  const auto low = memory.range(state.rbx, 116).value();
  CHECK((peek<le32>(low, 0) & (1U << 12)) != 0);
  CHECK(peek<le64>(low, 88) == 0xe0000000U);
  CHECK(peek<le32>(low, 96) == 3200U);
  CHECK(peek<le32>(low, 100) == 800U);
  CHECK(peek<le32>(low, 104) == 600U);
  CHECK(peek<le16>(low, 108) == 0x0120U);  // 32 bits; direct colour
  CHECK(peek<le16>(low, 110) == 0x0810U);
  CHECK(peek<le16>(low, 112) == 0x0808U);
  CHECK(peek<le16>(low, 114) == 0x0800U);
}

TEST_CASE("without an initrd there are no modules") {
  GuestMemory memory({.size = 16 * MiB});
  const auto e820 = e820_map(memory);
  const EntryState state =
      enter_multiboot(memory, {.entry = 0x100000, .area = kArea, .e820 = e820});
  CHECK((memory.read<le32>(state.rbx).value() & 8U) == 0);
  CHECK(memory.read<le32>(state.rbx + 20).value() == 0U);
}

}  // namespace vireo
