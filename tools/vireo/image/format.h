// How sizes, dates and names from images are shown to people. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "blockdev/format/qcow2_snapshot.h"

namespace vireo::cli {

// "1 GiB", "196 KiB", "0 B": three digits, as qemu-img rounds them.
std::string human_size(uint64_t bytes);

// Text out of an image or the like, with control characters as '?': a terminal is not to be
// steered by it.
std::string printable(std::string text);

// The table of 'snapshot -l', heading included.
std::string snapshot_table(const std::vector<blk::qcow2::SnapshotInfo>& snapshots);

}  // namespace vireo::cli
