// How sizes, dates and names from images are shown to people. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "blockdev/format/qcow2_snapshot.h"
#include "vmm/base/printable.h"

namespace vireo::cli {

// "1 GiB", "196 KiB", "0 B": three digits, as qemu-img rounds them.
std::string human_size(uint64_t bytes);

// The table of 'snapshot -l', heading included.
std::string snapshot_table(const std::vector<blk::qcow2::SnapshotInfo>& snapshots);

}  // namespace vireo::cli
