// Reads what a loader needs of an ELF kernel: where its segments go and how it is entered.
//
// Thread: any; pure. The file is hostile: every offset and size is checked here, so that a parsed
// ElfFile can be loaded without further questions but where its segments fit in guest memory.
// Throws ConfigError.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/boot/image.h"
#include "vmm/boot/ram_map.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

struct ElfSegment {
  uint64_t offset = 0;  // [offset, offset + file_size) lies in the file
  uint64_t file_size = 0;
  uint64_t memory_size = 0;       // at least file_size, not 0
  uint64_t physical_address = 0;  // plus memory_size does not wrap
  uint64_t virtual_address = 0;
  bool operator==(const ElfSegment&) const = default;
};

struct ElfFile {
  bool is_64bit = false;
  uint64_t entry = 0;  // as in the header: physical for Linux
  std::vector<ElfSegment> segments{};
  std::optional<uint64_t> pvh_entry{};  // of the note XEN_ELFNOTE_PHYS32_ENTRY
  bool is_linux = false;                // its notes say so

  // Is the physical address inside a segment?
  bool holds(uint64_t physical) const noexcept;
  // The header's entry point as a physical address: itself when it is one, or what the virtual
  // address is loaded at. Nothing when it lies in no segment.
  std::optional<uint64_t> physical_entry() const noexcept;
};

bool is_elf(const Image& image);
ElfFile parse_elf(const Image& image);

// Copies the segments to their physical addresses in memory that is all zero.
void load_segments(const Image& image, const ElfFile& elf, GuestMemory& memory, RamMap& ram);

}  // namespace vireo
