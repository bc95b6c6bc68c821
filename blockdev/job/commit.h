// Brings what the layers above a base hold into the base: 'commit'.
//
// The base grows to the size of the outermost layer when it is smaller and is flushed at the end.
// The layers are only read, and only what they hold changes in the base, so that the chain shows
// the same before, during and after: a commit that ends early can be repeated.
//
// Thread: the disks' loop. Memory: `in_flight` buffers. Errors: JobResult; the source side is the
// layers.
#pragma once

#include "blockdev/job/job.h"
#include "blockdev/job/layers.h"

namespace vireo::blk {

// `layers`: those above the base, at least one. The base is opened with its own backing image.
Task<JobResult> commit(Layers layers, Disk& base, JobControl control);

}  // namespace vireo::blk
