#include "vmm/boot/entry.h"

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

uint64_t word(const GuestMemory& memory, uint64_t address) {
  return memory.read<le64>(address).value();
}

// Walks the tables as the processor does.
uint64_t translate(const GuestMemory& memory, uint64_t cr3, uint64_t address) {
  constexpr uint64_t kFrame = 0x000ffffffffff000, kPresentWritable = 3, kLarge = 0x80;
  uint64_t table = cr3;
  for (const int shift : {39, 30}) {
    const uint64_t entry = word(memory, table + ((address >> shift) & 511) * 8);
    REQUIRE((entry & kPresentWritable) == kPresentWritable);
    REQUIRE((entry & kLarge) == 0);
    table = entry & kFrame;
  }
  const uint64_t entry = word(memory, table + ((address >> 21) & 511) * 8);
  REQUIRE((entry & (kPresentWritable | kLarge)) == (kPresentWritable | kLarge));
  return (entry & kFrame) + (address & 0x1fffff);
}

}  // namespace

TEST_CASE("long mode maps the first 4 GiB one to one") {
  GuestMemory memory({.size = MiB});
  const EntryState state = enter_long_mode(memory, 0x1000000);
  CHECK(state.rip == 0x1000000);
  CHECK(state.efer == 0x500);
  CHECK((state.cr0 & 0x80000001) == 0x80000001);
  CHECK((state.cr4 & 0x20) != 0);
  for (const uint64_t address :
       {uint64_t{0}, uint64_t{0x7000}, uint64_t{0x1000000}, 3 * GiB - 1, 3 * GiB, 4 * GiB - 1})
    CHECK(translate(memory, state.cr3, address) == address);
  // Only the first entries of the upper tables are there, and the tables end before what follows.
  CHECK(word(memory, layout::kPageTables + 8) == 0);
  CHECK(word(memory, layout::kPageTables + kPageSize + 4 * 8) == 0);
  CHECK(word(memory, layout::kEntryArea) == 0);
}

TEST_CASE("the descriptors in the GDT say what the segments say") {
  GuestMemory memory({.size = MiB});
  SECTION("long mode") {
    const EntryState state = enter_long_mode(memory, 0);
    CHECK(state.code.selector == 0x10);
    CHECK(state.data.selector == 0x18);
    CHECK(state.code.l);
    CHECK_FALSE(state.code.db);
    CHECK(word(memory, state.gdt.base + 0x10) == 0x00af9b000000ffff);
    CHECK(word(memory, state.gdt.base + 0x18) == 0x00cf93000000ffff);
  }
  SECTION("protected mode") {
    const EntryState state = enter_protected_mode(memory, 0x100000, {.address = 0x30000});
    CHECK(state.mode == EntryState::Mode::protected32);
    CHECK((state.cr0 & 0x80000001) == 1);
    CHECK(state.efer == 0);
    CHECK(word(memory, state.gdt.base + 0x10) == 0x00cf9b000000ffff);
    CHECK(word(memory, state.gdt.base + 0x18) == 0x00cf93000000ffff);
    CHECK(state.task.limit == 0x67);
    CHECK(state.gdt.base + state.gdt.limit < state.idt.base);
    CHECK(state.rsp > state.idt.base);
    CHECK(state.rsp < 0x30000 + EntryArea::kCommandLine);
  }
  CHECK(word(memory, layout::kGdt) == 0);
}

}  // namespace vireo
