// What a job reads: one disk, a part of one, or several one after the other.
//
// Thread: the disks' loop; they outlive this. Units: bytes. Each disk counts as rounded up to whole
// sectors of 512 bytes; what is beyond its end, and beyond the last one's, reads as zeros.
// Errors: the disks'.
#pragma once

#include <cstdint>
#include <vector>

#include "blockdev/disk.h"

namespace vireo::blk {

class Source {
 public:
  static constexpr uint64_t kSector = 512;

  Source() = default;
  explicit Source(Disk& disk) { add(disk); }
  // A part of a disk; it may lie beyond the end in part.
  Source(Disk& disk, uint64_t offset, uint64_t length) { add(disk, offset, length); }

  void add(Disk& disk);
  void add(Disk& disk, uint64_t offset, uint64_t length);

  uint64_t size() const noexcept { return size_; }
  // What buffers are best aligned to.
  uint32_t buffer_alignment() const noexcept { return buffer_alignment_; }
  // What lies at `offset`, up to `length`: one run.
  Task<Extent> extent(uint64_t offset, uint64_t length);
  Task<std::error_code> read(uint64_t offset, IoVecs into);
  // Reads under way are not held back by rates.
  void hurry() const;

 private:
  struct Part {
    Disk* disk;
    uint64_t start;   // in the source
    uint64_t offset;  // in the disk
    uint64_t length;
    uint64_t on_disk(uint64_t from) const noexcept;
  };
  const Part& part_at(uint64_t offset) const noexcept;
  static Task<std::error_code> read_part(const Part& part, uint64_t from, IoVecs into);

  std::vector<Part> parts_;
  uint64_t size_ = 0;
  uint32_t buffer_alignment_ = 1;
};

}  // namespace vireo::blk
