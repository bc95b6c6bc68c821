// virtio-blk on the wire (virtio 1.2, 5.2). Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vmm/base/bytes.h"

namespace vireo::dev {

inline constexpr uint64_t kBlkFeatureSegMax = 1 << 2;
inline constexpr uint64_t kBlkFeatureReadOnly = 1 << 5;
inline constexpr uint64_t kBlkFeatureBlockSize = 1 << 6;
inline constexpr uint64_t kBlkFeatureFlush = 1 << 9;
inline constexpr uint64_t kBlkFeatureTopology = 1 << 10;
inline constexpr uint64_t kBlkFeatureConfigWce = 1 << 11;
inline constexpr uint64_t kBlkFeatureMq = 1 << 12;
inline constexpr uint64_t kBlkFeatureDiscard = 1 << 13;
inline constexpr uint64_t kBlkFeatureWriteZeroes = 1 << 14;

inline constexpr uint64_t kBlkSector = 512;  // the unit of all sector numbers and counts

struct BlkConfigSpace {
  le64 capacity;  // sectors
  le32 size_max;
  le32 seg_max;
  le16 cylinders;
  uint8_t heads = 0;
  uint8_t sectors = 0;
  le32 block_size;
  uint8_t physical_block_exponent = 0;
  uint8_t alignment_offset = 0;
  le16 min_io_size;  // blocks
  le32 opt_io_size;  // blocks
  uint8_t writeback = 0;
  uint8_t unused0 = 0;
  le16 num_queues;
  le32 max_discard_sectors;
  le32 max_discard_segments;
  le32 discard_sector_alignment;
  le32 max_write_zeroes_sectors;
  le32 max_write_zeroes_segments;
  uint8_t write_zeroes_may_unmap = 0;
  uint8_t unused1[3] = {};
};
static_assert(sizeof(BlkConfigSpace) == 60);
static_assert(offsetof(BlkConfigSpace, writeback) == 32);

// Starts a request; readable. Data follow, and last, writable, the status byte.
struct BlkHeader {
  le32 type;
  le32 reserved;
  le64 sector;
};
static_assert(sizeof(BlkHeader) == 16);

enum class BlkType : uint32_t {
  read = 0,
  write = 1,
  flush = 4,
  get_id = 8,
  discard = 11,
  write_zeroes = 13,
};

enum class BlkStatus : uint8_t { ok = 0, io_error = 1, unsupported = 2 };

inline constexpr size_t kBlkIdLength = 20;

// The data of discard and write-zeroes are some of these.
struct BlkRange {
  le64 sector;
  le32 sectors;
  le32 flags;
};
static_assert(sizeof(BlkRange) == 16);
inline constexpr uint32_t kBlkRangeUnmap = 1;

}  // namespace vireo::dev
