// How the first vCPU starts: register values as plain data (vmm/cpu applies them), and the tables
// in low guest memory they refer to.
//
// Thread: control, before the vCPUs run. Owns nothing.
#pragma once

#include <cstdint>

#include "vmm/memory/guest_memory.h"

namespace vireo {

// The fields of a segment register's hidden part, as the CPU's descriptors name them.
struct EntrySegment {
  uint64_t base = 0;
  uint32_t limit = 0;  // in bytes, also when granularity is set
  uint16_t selector = 0;
  uint8_t type = 0;
  bool code_or_data = false;  // the descriptor's S bit
  bool db = false;            // 32-bit operands
  bool l = false;             // 64-bit code
  bool g = false;             // 4 KiB granularity
};

struct EntryTable {
  uint64_t base = 0;
  uint16_t limit = 0;
};

// General registers not named here are 0; all other control state is as after a reset. Present
// segments of privilege level 0 throughout.
struct EntryState {
  enum class Mode : uint8_t { long64, protected32 };
  Mode mode = Mode::long64;
  uint64_t rip = 0;
  uint64_t rsp = 0;
  uint64_t rax = 0;  // multiboot's magic
  uint64_t rbx = 0;  // PVH: hvm_start_info; multiboot: its information structure
  uint64_t rsi = 0;  // Linux: boot_params
  uint64_t rflags = 2;
  uint64_t cr0 = 0;
  uint64_t cr3 = 0;
  uint64_t cr4 = 0;
  uint64_t efer = 0;
  EntrySegment code{};  // cs
  EntrySegment data{};  // ds, es, fs, gs, ss
  EntrySegment task{};  // tr
  EntryTable gdt{};
  EntryTable idt{};
};

// 64-bit mode with the first 4 GiB mapped one to one by 2 MiB pages; writes page tables and GDT.
EntryState enter_long_mode(GuestMemory& memory, uint64_t rip);

// What a 32-bit program is entered with, in one piece of RAM that lies wherever the program leaves
// room: what its loader tells it, a GDT, a small stack, and the command line.
struct EntryArea {
  uint64_t address = 0;  // page-aligned, below 4 GiB

  static constexpr uint64_t kInformationSize = 0xf00;
  static constexpr uint64_t kCommandLine = 2 * 4096;  // from the start of the area
  uint64_t information() const noexcept { return address; }
  uint64_t gdt() const noexcept { return address + kInformationSize; }
  uint64_t idt() const noexcept { return gdt() + 0x20; }
  uint64_t stack() const noexcept { return address + kCommandLine - 16; }
  uint64_t command_line() const noexcept { return address + kCommandLine; }
};

// 32-bit protected mode without paging, flat segments; writes the GDT.
EntryState enter_protected_mode(GuestMemory& memory, uint64_t rip, const EntryArea& area);

}  // namespace vireo
