// The directory of persistent dirty bitmaps ("Bitmaps extension", "Bitmap directory"): what an
// image says of its bitmaps. Their bits: bitmap_store.h.
//
// Thread: the image's loop. Errors: those of the file; EIO for a damaged directory.
#pragma once

#include <string>
#include <vector>

#include "blockdev/format/qcow2/header.h"
#include "blockdev/format/qcow2/host_file.h"

namespace vireo::blk::qcow2 {

// QEMU's limits.
inline constexpr uint32_t kMaxBitmaps = 65535;
inline constexpr size_t kMaxBitmapName = 1023;
inline constexpr uint32_t kMinGranularityBits = 9;
inline constexpr uint32_t kMaxGranularityBits = 31;
inline constexpr uint64_t kMaxBitmapBytes = 512 * 1024 * 1024;

struct BitmapInfo {
  std::string name;
  bool in_use = false;        // was not closed: its bits mean nothing
  bool automatic = false;     // records what is written
  uint64_t granularity = 0;   // bytes of the disk per bit
  uint64_t table_offset = 0;  // inside the file, as the whole table
  uint32_t table_entries = 0;
  bool foreign = false;  // of a type, with flags or extra data that are not known: only kept
  uint32_t unknown_flags = 0;
  uint8_t type = 1;
  std::vector<std::byte> extra;
};

struct BitmapDirectory {
  uint64_t offset = 0, length = 0;  // where it lies; 0, 0: nowhere
  std::vector<BitmapInfo> bitmaps;
};

// Empty when the image has none, or has been written since by a program that ignores them.
Task<Outcome<BitmapDirectory>> read_bitmaps(HostFile& file, const Header& header);

std::vector<std::byte> serialise_bitmaps(const std::vector<BitmapInfo>& list);
// Lets the header name the directory, or none when it is empty.
void name_directory(Header& header, const BitmapDirectory& directory);

// Clusters of bits, and entries of its table, that a bitmap of a disk of `size` bytes has.
uint64_t bitmap_clusters(uint64_t size, uint64_t granularity, uint64_t cluster_size) noexcept;
// Bytes of a file for such bitmaps with all their bits stored.
uint64_t bitmaps_file_size(const std::vector<BitmapInfo>& bitmaps, uint64_t size,
                           uint64_t cluster_size) noexcept;

}  // namespace vireo::blk::qcow2
