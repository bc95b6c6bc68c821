// A file without a name that is gone with its node: the write layer of snapshot=on.
//
// Thread: the graph's loop. Errors: throws std::system_error naming the directory.
#pragma once

#include <memory>

#include "blockdev/protocol/file.h"

namespace vireo::blk {

// Sparse and `size` bytes long, in $TMPDIR or else /var/tmp: it may become as large as a disk, and
// /tmp is often memory. Never flushed.
Task<std::unique_ptr<FileNode>> make_temporary_file(FileEngines& engines, uint64_t size);

}  // namespace vireo::blk
