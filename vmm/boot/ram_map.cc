#include "vmm/boot/ram_map.h"

#include <algorithm>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

constexpr uint64_t kTablesEnd = layout::kCommandLine + layout::kCommandLineMax;

}  // namespace

std::vector<E820Entry> e820_map(const GuestMemory& memory) {
  using enum E820Entry::Type;
  std::vector<E820Entry> map{
      {0, layout::kLowRamEnd, ram},
      {layout::kLowRamEnd, 0xa0000 - layout::kLowRamEnd, reserved},
      {layout::kAcpiTables, layout::kAcpiTablesEnd - layout::kAcpiTables, reserved}};
  for (const GuestMemory::Region& region : memory.regions()) {
    const uint64_t start = std::max(region.start, layout::kHighRamStart);
    const uint64_t end = region.start + region.bytes.size();
    if (end > start) map.push_back({start, end - start, ram});
  }
  return map;
}

RamMap::RamMap(const GuestMemory& memory, LowMemory low)
    : end_(memory.regions().front().bytes.size()) {
  if (low == LowMemory::is_free) return;
  taken_ = {{0, kTablesEnd, "the tables the machine starts with"},
            {layout::kLowRamEnd, layout::kHighRamStart, "the firmware area"}};
}

const RamMap::Piece* RamMap::overlapping(uint64_t start, uint64_t end) const {
  const auto hit = std::ranges::find_if(
      taken_, [&](const Piece& piece) { return start < piece.end && piece.start < end; });
  return hit == taken_.end() ? nullptr : &*hit;
}

void RamMap::claim(uint64_t address, uint64_t length, const std::string& what) {
  if (length == 0) return;
  if (address >= end_ || length > end_ - address)
    throw ConfigError(fmt::format(
        "{} does not fit in memory: it needs {:#x} bytes at {:#x}, the machine has {} MiB there; "
        "give it more memory",
        what, length, address, end_ / MiB));
  if (const Piece* other = overlapping(address, address + length))
    throw ConfigError(
        fmt::format("{} ({:#x} bytes at {:#x}) overlaps {}", what, length, address, other->what));
  taken_.push_back({address, address + length, what});
}

std::optional<uint64_t> RamMap::claim_high(uint64_t length, uint64_t limit,
                                           const std::string& what) {
  uint64_t end = std::min(limit, end_);
  while (end >= length && (end - length) / kPageSize * kPageSize >= layout::kHighRamStart) {
    const uint64_t start = (end - length) / kPageSize * kPageSize;
    const Piece* other = overlapping(start, start + length);
    if (other == nullptr) {
      taken_.push_back({start, start + length, what});
      return start;
    }
    end = other->start;
  }
  return std::nullopt;
}

std::optional<uint64_t> RamMap::claim_low(uint64_t length, uint64_t start,
                                          const std::string& what) {
  while (start + length <= layout::kLowRamEnd) {
    const Piece* other = overlapping(start, start + length);
    if (other == nullptr) {
      taken_.push_back({start, start + length, what});
      return start;
    }
    start = (other->end + kPageSize - 1) / kPageSize * kPageSize;
  }
  return std::nullopt;
}

}  // namespace vireo
