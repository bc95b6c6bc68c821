// Prepares an overlay for another backing image: 'rebase'. Where the overlay holds nothing and the
// two backing images differ, it gets a copy of what it shows now. Naming the new backing image in
// the overlay's header is the caller's next step; until then the overlay shows the same as before,
// so that a rebase that ends early can be repeated.
//
// Thread: the disks' loop. Memory: `in_flight` pairs of buffers. Errors: JobResult; the target side
// is the overlay.
#pragma once

#include "blockdev/job/job.h"
#include "blockdev/job/layers.h"
#include "blockdev/job/source.h"

namespace vireo::blk {

struct RebaseOptions {
  Source backing{};  // the new one with its chain; empty: none, all is to be copied
  // When the new backing image is one of the overlay's chain: those between the two. Where they
  // hold nothing, nothing differs.
  Layers between{};
};

// `overlay` is opened with the backing image that it has. Flushes it.
Task<JobResult> rebase(Disk& overlay, RebaseOptions options, JobControl control);

}  // namespace vireo::blk
