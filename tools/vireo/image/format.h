// How sizes, dates and names from images are shown to people. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "blockdev/format/image.h"
#include "vmm/base/printable.h"

namespace vireo::cli {

// "1 GiB", "196 KiB", "0 B": three digits, as qemu-img rounds them.
std::string human_size(uint64_t bytes);

// The table of 'snapshot -l', heading included.
std::string snapshot_table(const std::vector<blk::ImageSnapshot>& snapshots);

}  // namespace vireo::cli
