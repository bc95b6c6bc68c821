#include "vmm/boot/entry.h"

#include <array>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

// The selectors that the Linux boot protocol asks for (Documentation/arch/x86/boot.rst, "32-bit"
// and "64-bit boot protocol"): __BOOT_CS and __BOOT_DS. The others do not care.
constexpr uint16_t kCodeSelector = 0x10;
constexpr uint16_t kDataSelector = 0x18;

constexpr uint8_t kTypeCode = 0xb;  // execute, read, accessed
constexpr uint8_t kTypeData = 0x3;  // read, write, accessed
constexpr uint8_t kTypeBusyTss = 0xb;

constexpr uint64_t kCr0Pe = 1, kCr0Et = 1 << 4, kCr0Pg = 1ull << 31;
constexpr uint64_t kCr4Pae = 1 << 5;
constexpr uint64_t kEferLme = 1 << 8, kEferLma = 1 << 10;

EntrySegment flat_segment(uint16_t selector, uint8_t type) {
  return {.limit = 0xffffffff,
          .selector = selector,
          .type = type,
          .code_or_data = true,
          .db = true,
          .g = true};
}

// SDM volume 3, 3.4.5, for the flat segments made above.
uint64_t descriptor(const EntrySegment& segment) {
  const uint64_t limit = segment.g ? segment.limit >> 12 : segment.limit;
  uint64_t value = (limit & 0xffff) | ((limit >> 16) & 0xf) << 48;
  value |= (segment.base & 0xffffff) << 16 | ((segment.base >> 24) & 0xff) << 56;
  value |= static_cast<uint64_t>(segment.type) << 40 | 1ull << 47;  // present, privilege level 0
  if (segment.code_or_data) value |= 1ull << 44;
  if (segment.l) value |= 1ull << 53;
  if (segment.db) value |= 1ull << 54;
  if (segment.g) value |= 1ull << 55;
  return value;
}

template <class T>
void put(GuestMemory& memory, uint64_t address, const T& value) {
  VMM_CHECK(memory.write(address, bytes_of(value)), "low memory is always RAM");
}

// `state` says by gdt.base and idt.base where the tables go.
EntryState with_segments(GuestMemory& memory, EntryState state) {
  state.code = flat_segment(kCodeSelector, kTypeCode);
  state.data = flat_segment(kDataSelector, kTypeData);
  if (state.mode == EntryState::Mode::long64) {
    state.code.db = false;
    state.code.l = true;
  }
  // Processors insist on a task register; PVH (x86/HVM direct boot ABI) fixes base and limit.
  state.task = {.limit = 0x67, .type = kTypeBusyTss};
  const std::array<le64, 4> gdt{0, 0, descriptor(state.code), descriptor(state.data)};
  put(memory, state.gdt.base, gdt);
  state.gdt.limit = sizeof gdt - 1;
  state.idt.limit = 0;  // empty: interrupts are off until the kernel has its own
  return state;
}

// PML4 -> PDPT -> 4 page directories of 512 pages of 2 MiB (SDM volume 3, 4.5).
void write_page_tables(GuestMemory& memory) {
  constexpr uint64_t kPresentWritable = 3, kLarge = 1 << 7;
  constexpr uint64_t kPdpt = layout::kPageTables + kPageSize;
  constexpr uint64_t kDirectories = kPdpt + kPageSize;
  std::array<le64, 512> table{};
  table[0] = kPdpt | kPresentWritable;
  put(memory, layout::kPageTables, table);
  for (uint64_t i = 0; i < 4; ++i) table[i] = (kDirectories + i * kPageSize) | kPresentWritable;
  put(memory, kPdpt, table);
  for (uint64_t directory = 0; directory < 4; ++directory) {
    for (uint64_t i = 0; i < table.size(); ++i)
      table[i] = (directory * GiB + i * 2 * MiB) | kPresentWritable | kLarge;
    put(memory, kDirectories + directory * kPageSize, table);
  }
}

}  // namespace

EntryState enter_long_mode(GuestMemory& memory, uint64_t rip) {
  write_page_tables(memory);
  return with_segments(memory, {.mode = EntryState::Mode::long64,
                                .rip = rip,
                                .rsp = layout::kBootStack,
                                .cr0 = kCr0Pe | kCr0Et | kCr0Pg,
                                .cr3 = layout::kPageTables,
                                .cr4 = kCr4Pae,
                                .efer = kEferLme | kEferLma,
                                .gdt = {layout::kGdt},
                                .idt = {layout::kIdt}});
}

EntryState enter_protected_mode(GuestMemory& memory, uint64_t rip, const EntryArea& area) {
  return with_segments(memory, {.mode = EntryState::Mode::protected32,
                                .rip = rip,
                                .rsp = area.stack(),
                                .cr0 = kCr0Pe | kCr0Et,
                                .gdt = {area.gdt()},
                                .idt = {area.idt()}});
}

}  // namespace vireo
