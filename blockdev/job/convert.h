// Copies what a source shows to a disk: 'convert' and 'dd'. Holes and zero clusters cost nothing
// where the target reads as zeros already, zeros among the data become holes again.
//
// The source is only read. Pieces are read side by side; the target is written in the order of
// offsets (a piece's write begins after the one before has begun), unless `any_order` is set.
//
// Thread: the disks' loop. Memory: `in_flight` pieces of at most kConvertChunk, or a few clusters.
// Errors: JobResult; ENOSPC when the target is smaller than the source.
#pragma once

#include <functional>
#include <system_error>

#include "blockdev/job/job.h"
#include "blockdev/job/source.h"

namespace vireo::blk {

struct ConvertOptions {
  uint64_t sparse = 4096;       // zeros of this size, aligned, become holes; 0: write everything
  uint64_t compressed = 0;      // not 0: the target's cluster size; it stores them compressed
  bool target_is_zero = false;  // nothing has been written to the target, and it reads as zeros
  bool only_allocated = false;  // the target has a backing image that shows the rest
  bool any_order = false;
  bool one_by_one = false;  // a piece's write begins after the one before has ended: clusters of
                            // the target are allocated in the order of offsets, as qemu-img does
  bool find_zeros = true;   // look for zeros among the data
  // When set, what cannot be read becomes zeros and is told here, sector by sector, instead of
  // ending the copy.
  std::function<void(uint64_t offset, std::error_code)> salvage{};
};
inline constexpr uint64_t kConvertChunk = 1024 * 1024;

// Does not flush.
Task<JobResult> convert(Source source, Disk& target, ConvertOptions options, JobControl control);

}  // namespace vireo::blk
