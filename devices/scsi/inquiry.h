// What a logical unit says of itself: INQUIRY and its vital product data (SPC-4, 6.6 and 7.8;
// SBC-3, 6.5). Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vireo::scsi {

// Peripheral device types (SPC-4, 6.6.2).
enum class UnitKind : uint8_t { disk = 0x00, cdrom = 0x05 };

// What UNMAP and WRITE SAME take at once.
inline constexpr uint32_t kMaxUnmapBytes = 1 << 30;  // a range
inline constexpr uint32_t kMaxUnmapRanges = 32;
inline constexpr uint32_t kMaxWriteSameBytes = 64 << 20;  // they may have to be written

struct Identity {
  UnitKind kind = UnitKind::disk;
  std::string serial{};  // empty: it has none
  std::string name{};    // tells it from the machine's other units
};
// Of a disk. A CD-ROM has no pages about it.
struct Provisioning {
  uint32_t block = 512;          // bytes
  uint32_t optimal_block = 512;  // bytes
  bool can_unmap = false;
};

std::vector<std::byte> standard_inquiry(const Identity& unit);
// Nothing when the unit has no such page.
std::optional<std::vector<std::byte>> vital_product_data(uint8_t page, const Identity& unit,
                                                         const Provisioning& blocks);

}  // namespace vireo::scsi
