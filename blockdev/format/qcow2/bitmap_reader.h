// What a stored bitmap calls dirty, piece by piece ("Bitmap table", "Bitmap data").
//
// Thread: the image's loop; nothing changes the bitmap meanwhile. Memory: its table, which
// read_bitmaps() bounds, and one cluster of bits. Errors: those of the file, EIO for an impossible
// table.
#pragma once

#include <vector>

#include "blockdev/format/qcow2/bitmap_directory.h"
#include "blockdev/format/qcow2/dirty_bits.h"
#include "blockdev/format/qcow2/place_sets.h"

namespace vireo::blk::qcow2 {

inline constexpr uint64_t kAllOnes = 1;  // a table entry without a cluster of bits

Task<Outcome<std::vector<uint64_t>>> read_bitmap_table(HostFile& file, Geometry geometry,
                                                       uint64_t offset, uint32_t entries);
// One cluster of bits, as its table entry describes it.
Task<Outcome<DirtyBits::Part>> read_bitmap_part(HostFile& file, Geometry geometry, uint64_t entry);

class BitmapReader {
 public:
  // Of a disk of `size` bytes; `info` is none that is in use or foreign.
  BitmapReader(HostFile& file, const Geometry& geometry, BitmapInfo info, uint64_t size)
      : file_(file), geometry_(geometry), info_(std::move(info)), size_(size) {}

  uint64_t disk_size() const noexcept { return size_; }
  // The next dirty range, up to the end of a cluster of bits; of length 0 when there is none.
  Task<Outcome<HostRange>> next();

 private:
  Task<std::error_code> load_part();
  HostRange range(uint64_t first, uint64_t end) const noexcept;
  bool is_set(uint64_t bit) const noexcept;

  HostFile& file_;
  const Geometry geometry_;
  const BitmapInfo info_;
  const uint64_t size_;
  bool loaded_ = false;
  std::vector<uint64_t> table_;
  DirtyBits::Part part_;  // the bits of entry number_; empty: not read yet
  uint64_t number_ = 0;
  uint64_t bit_ = 0;  // inside the part
};

}  // namespace vireo::blk::qcow2
