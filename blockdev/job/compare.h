// Do two disks show the same? A longer one may go on with zeros.
//
// Thread: the disks' loop. Memory: `in_flight` pairs of buffers. Errors: JobResult; the source side
// is the first disk, the target side the second.
#pragma once

#include "blockdev/job/job.h"
#include "blockdev/job/source.h"

namespace vireo::blk {

struct Comparison {
  enum class Verdict : uint8_t { same, content_differs, allocation_differs };
  JobResult failure;  // if it has an error, nothing else is known
  Verdict verdict = Verdict::same;
  uint64_t offset = 0;  // of the first sector that differs
};

// `strict`: what is allocated, and what is known to be zeros, is to agree too.
Task<Comparison> compare(Source first, Source second, bool strict, JobControl control);

}  // namespace vireo::blk
