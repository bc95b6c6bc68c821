#include "vmm/boot/ram_map.h"

#include <memory>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

using Type = E820Entry::Type;

// Nothing when the host is too small for it.
std::unique_ptr<GuestMemory> large_memory(uint64_t size) {
  try {
    return std::make_unique<GuestMemory>(MemoryConfig{.size = size});
  } catch (const ConfigError&) {
    WARN("this host has too little memory for the test");
    return nullptr;
  }
}

uint64_t ram_of(const std::vector<E820Entry>& map) {
  uint64_t total = 0;
  for (const E820Entry& entry : map)
    if (entry.type == Type::ram) total += entry.length;
  return total;
}

}  // namespace

TEST_CASE("the memory map leaves out the firmware area and the gap") {
  const GuestMemory small({.size = 128 * MiB});
  const auto map = e820_map(small);
  REQUIRE(map.size() == 4);
  CHECK(map[0] == E820Entry{0, 0x9fc00, Type::ram});
  CHECK(map[1] == E820Entry{0x9fc00, 0x400, Type::reserved});
  CHECK(map[2] == E820Entry{0xe0000, 0x20000, Type::reserved});
  CHECK(map[3] == E820Entry{0x100000, 127 * MiB, Type::ram});
}

TEST_CASE("the memory map has a piece above 4 GiB when the RAM is larger than the gap's start") {
  const auto exact = large_memory(3 * GiB);
  const auto more = large_memory(3 * GiB + 4096);
  if (exact == nullptr || more == nullptr) return;
  CHECK(e820_map(*exact).size() == 4);
  CHECK(e820_map(*exact).back() == E820Entry{MiB, 3 * GiB - MiB, Type::ram});
  CHECK(e820_map(*more).back() == E820Entry{4 * GiB, 4096, Type::ram});
  CHECK(ram_of(e820_map(*more)) == 3 * GiB + 4096 - MiB + 0x9fc00);
}

TEST_CASE("a machine of 1 MiB has only low RAM") {
  const GuestMemory tiny({.size = MiB});
  CHECK(ram_of(e820_map(tiny)) == 0x9fc00);
}

TEST_CASE("a claim must be RAM below the gap and free") {
  const GuestMemory memory({.size = 16 * MiB});
  RamMap ram(memory);
  ram.claim(MiB, MiB, "kernel 'a'");
  CHECK_THROWS_AS(ram.claim(MiB, 1, "b"), ConfigError);
  CHECK_THROWS_AS(ram.claim(2 * MiB - 1, 2, "b"), ConfigError);
  CHECK_THROWS_AS(ram.claim(0, 2 * MiB, "b"), ConfigError);
  CHECK_NOTHROW(ram.claim(2 * MiB, MiB, "b"));
  CHECK_NOTHROW(ram.claim(5 * MiB, 0, "nothing"));
  CHECK_THROWS_WITH(ram.claim(2 * MiB - 1, 1, "initrd 'i'"),
                    Catch::Contains("initrd 'i'") && Catch::Contains("overlaps kernel 'a'"));
  SECTION("at the end") {
    CHECK_NOTHROW(ram.claim(16 * MiB - 1, 1, "c"));
    CHECK_THROWS_WITH(ram.claim(16 * MiB - 2, 3, "c"), Catch::Contains("does not fit in memory"));
    CHECK_THROWS_AS(ram.claim(16 * MiB, 1, "c"), ConfigError);
    CHECK_THROWS_AS(ram.claim(UINT64_MAX, 2, "c"), ConfigError);
    CHECK_THROWS_AS(ram.claim(4 * MiB, UINT64_MAX, "c"), ConfigError);
  }
  SECTION("in low memory") {
    CHECK_THROWS_AS(ram.claim(0, 1, "c"), ConfigError);
    CHECK_THROWS_AS(ram.claim(layout::kCommandLine, 1, "c"), ConfigError);
    CHECK_NOTHROW(ram.claim(layout::kCommandLine + layout::kCommandLineMax, 4096, "c"));
    CHECK_THROWS_AS(ram.claim(layout::kLowRamEnd, 1, "c"), ConfigError);
    CHECK_THROWS_AS(ram.claim(layout::kAcpiTablesEnd - 1, 1, "c"), ConfigError);
  }
}

TEST_CASE("high claims go as high as they can, around what is there") {
  const GuestMemory memory({.size = 16 * MiB});
  RamMap ram(memory);
  CHECK(ram.claim_high(4097, UINT64_MAX, "a") == 16 * MiB - 8192);
  CHECK(ram.claim_high(1, UINT64_MAX, "b") == 16 * MiB - 3 * 4096);
  CHECK(ram.claim_high(4096, 8 * MiB + 100, "c") == 8 * MiB - 4096);
  ram.claim(4 * MiB, MiB, "kernel");
  CHECK(ram.claim_high(8192, 5 * MiB, "d") == 4 * MiB - 8192);
  CHECK(ram.claim_high(16 * MiB, UINT64_MAX, "e") == std::nullopt);
  CHECK(ram.claim_high(MiB, 2 * MiB, "f") == MiB);
  CHECK(ram.claim_high(1, 2 * MiB, "g") == std::nullopt);
  CHECK(ram.claim_high(1, 0, "h") == std::nullopt);
  CHECK(ram.claim_high(UINT64_MAX, UINT64_MAX, "i") == std::nullopt);
}

TEST_CASE("a machine with RAM above 4 GiB places things below the gap") {
  const auto memory = large_memory(3 * GiB + MiB);
  if (memory == nullptr) return;
  RamMap ram(*memory);
  CHECK(ram.claim_high(4096, UINT64_MAX, "a") == 3 * GiB - 4096);
  CHECK_THROWS_AS(ram.claim(4 * GiB, 4096, "b"), ConfigError);
}

}  // namespace vireo
