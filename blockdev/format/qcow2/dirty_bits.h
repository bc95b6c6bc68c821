// Granules of a disk that became dirty, kept sparsely until they are added to a stored bitmap.
//
// Bits are ordered as a stored bitmap has them ("Bitmap data": bit n is bit n % 8 of byte n / 8)
// and lie in parts of one cluster of the image each. One thread. Memory: bytes().
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace vireo::blk::qcow2 {

class DirtyBits {
 public:
  using Part = std::vector<std::byte>;
  using Parts = std::map<uint64_t, Part>;  // by their number

  DirtyBits(uint64_t granularity, uint64_t part_bytes) noexcept
      : granularity_(granularity), part_bytes_(part_bytes) {}

  // The bytes [offset, offset + length) of the disk.
  void mark(uint64_t offset, uint64_t length);
  size_t bytes() const noexcept { return parts_.size() * part_bytes_; }
  Parts take() noexcept { return std::exchange(parts_, {}); }

 private:
  Part& part(uint64_t number);

  const uint64_t granularity_;
  const uint64_t part_bytes_;
  Parts parts_;
};

// Bits [first, end) of `part` become `value`.
void set_bits(DirtyBits::Part& part, uint64_t first, uint64_t end, bool value) noexcept;

}  // namespace vireo::blk::qcow2
