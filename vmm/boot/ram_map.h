// What of the guest's RAM is spoken for while a kernel is loaded, and the memory map told to it.
//
// Thread: control. Owns no memory; addresses are guest-physical, lengths in bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/memory/guest_memory.h"

namespace vireo {

// One line of the memory map, in the form of the BIOS call E820h (ACPI 6.5, 15.1).
struct E820Entry {
  enum class Type : uint32_t { ram = 1, reserved = 2 };
  uint64_t address = 0;
  uint64_t length = 0;
  Type type = Type::ram;
  bool operator==(const E820Entry&) const = default;
};
std::vector<E820Entry> e820_map(const GuestMemory& memory);

// Hands out pieces of the RAM below the gap.
class RamMap {
 public:
  // Below 1 MiB, the tables for a 64-bit entry (vmm/memory/layout.h) and the firmware area are
  // taken from the start; a 32-bit program needs neither and may lie there. As on a PC, what the
  // firmware has written there stays: the machine writes it last.
  enum class LowMemory : uint8_t { has_tables, is_free };
  explicit RamMap(const GuestMemory& memory, LowMemory low = LowMemory::has_tables);

  uint64_t end() const noexcept { return end_; }

  // Throws ConfigError, naming `what`, when the piece is not RAM or overlaps one already taken.
  void claim(uint64_t address, uint64_t length, const std::string& what);
  // The highest page-aligned place for `length` bytes that ends at or below `limit`,
  // above 1 MiB; claims it. Nothing when there is none.
  std::optional<uint64_t> claim_high(uint64_t length, uint64_t limit, const std::string& what);
  // The lowest page-aligned place for `length` bytes from `start` on, below the EBDA; claims it.
  // Nothing when there is none.
  std::optional<uint64_t> claim_low(uint64_t length, uint64_t start, const std::string& what);

 private:
  struct Piece {
    uint64_t start;
    uint64_t end;
    std::string what;
  };
  const Piece* overlapping(uint64_t start, uint64_t end) const;

  uint64_t end_;
  std::vector<Piece> taken_;  // disjoint
};

}  // namespace vireo
