// The directory of persistent dirty bitmaps ("Bitmaps extension", "Bitmap directory"). Bitmaps are
// described and counted, not maintained: opening an image for writing marks them as stale.
//
// Thread: the image's loop. Errors: those of the file; EIO for a damaged directory.
#pragma once

#include <string>
#include <vector>

#include "blockdev/format/qcow2_header.h"
#include "blockdev/format/qcow2_host.h"

namespace vireo::blk::qcow2 {

struct BitmapInfo {
  std::string name;
  bool in_use = false;  // was not closed: its bits mean nothing
  bool automatic = false;
  uint64_t granularity = 0;   // bytes per bit
  uint64_t table_offset = 0;  // inside the file, as the whole table
  uint32_t table_entries = 0;
};

struct BitmapDirectory {
  uint64_t offset = 0, length = 0;  // where it lies; 0, 0: nowhere
  std::vector<BitmapInfo> bitmaps;
};

// Empty when the image has none, or has been written since by a program that ignores them.
Task<Outcome<BitmapDirectory>> read_bitmaps(HostFile& file, const Header& header);

}  // namespace vireo::blk::qcow2
