#include "blockdev/format/qcow2/dirty_bits.h"

#include <algorithm>

namespace vireo::blk::qcow2 {

void set_bits(DirtyBits::Part& part, uint64_t first, uint64_t end, bool value) noexcept {
  while (first < end) {
    if (first % 8 == 0 && end - first >= 8) {
      const uint64_t bytes = (end - first) / 8;
      std::fill_n(part.begin() + static_cast<ptrdiff_t>(first / 8), bytes,
                  value ? std::byte{0xff} : std::byte{0});
      first += bytes * 8;
      continue;
    }
    const std::byte bit{static_cast<uint8_t>(1u << (first % 8))};
    std::byte& at = part[first / 8];
    at = value ? at | bit : at & ~bit;
    ++first;
  }
}

DirtyBits::Part& DirtyBits::part(uint64_t number) {
  Part& found = parts_[number];
  if (found.empty()) found.resize(part_bytes_);
  return found;
}

void DirtyBits::mark(uint64_t offset, uint64_t length) {
  if (length == 0) return;
  const uint64_t bits = part_bytes_ * 8;
  const uint64_t end = (offset + length - 1) / granularity_ + 1;
  for (uint64_t bit = offset / granularity_; bit < end;) {
    const uint64_t number = bit / bits, first = number * bits;
    const uint64_t stop = std::min(end, first + bits);
    set_bits(part(number), bit - first, stop - first, true);
    bit = stop;
  }
}

}  // namespace vireo::blk::qcow2
