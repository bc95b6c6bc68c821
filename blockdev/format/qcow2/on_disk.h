// qcow2 on disk, the pure part: constants, table entries, compressed descriptors and refcount
// fields. Everything here is a value or a function of bytes; nothing does I/O. Any thread.
// Numbers are big endian on disk (qcow2 specification, "General"); section names below are its.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/base/bytes.h"

namespace vireo::blk::qcow2 {

inline constexpr uint32_t kMagic = 0x514649fb;  // "QFI\xfb"
inline constexpr uint32_t kMinClusterBits = 9;
inline constexpr uint32_t kMaxClusterBits = 21;
inline constexpr uint64_t kMaxL1Bytes = 32 * 1024 * 1024;
inline constexpr uint64_t kMaxRefcountTableBytes = 8 * 1024 * 1024;
inline constexpr uint32_t kMaxSnapshots = 65536;
inline constexpr uint64_t kMaxSnapshotTableBytes = 64 * 1024 * 1024;
inline constexpr uint32_t kMaxBackingName = 1023;
inline constexpr uint32_t kSubclusters = 32;

// "Header": incompatible_features, compatible_features, autoclear_features.
inline constexpr uint64_t kIncompatibleDirty = 1;
inline constexpr uint64_t kIncompatibleCorrupt = 2;
inline constexpr uint64_t kIncompatibleDataFile = 4;
inline constexpr uint64_t kIncompatibleCompression = 8;
inline constexpr uint64_t kIncompatibleExtendedL2 = 16;
inline constexpr uint64_t kIncompatibleKnown = 31;
inline constexpr uint64_t kCompatibleLazyRefcounts = 1;
inline constexpr uint64_t kAutoclearBitmaps = 1;
inline constexpr uint64_t kAutoclearRawData = 2;

// "Cluster mapping": L1 and L2 entries.
inline constexpr uint64_t kCopied = uint64_t{1} << 63;
inline constexpr uint64_t kCompressed = uint64_t{1} << 62;
inline constexpr uint64_t kZeroFlag = 1;
inline constexpr uint64_t kOffsetMask = 0x00fffffffffffe00;
inline constexpr uint64_t kMaxHostOffset = uint64_t{1} << 56;
inline constexpr uint64_t kL1Reserved = 0x7f000000000001ff;
inline constexpr uint64_t kL2Reserved = 0x3f000000000001fe;  // of a standard cluster descriptor
inline constexpr uint64_t kRefcountOffsetMask = 0xfffffffffffffe00;

enum class Compression : uint8_t { zlib = 0, zstd = 1 };

constexpr uint64_t align_down(uint64_t value, uint64_t unit) noexcept {
  return value & ~(unit - 1);
}
// The caller knows that value + unit does not overflow (values are below 2^63).
constexpr uint64_t align_up(uint64_t value, uint64_t unit) noexcept {
  return align_down(value + unit - 1, unit);
}
constexpr uint64_t div_up(uint64_t value, uint64_t unit) noexcept {
  return value / unit + (value % unit != 0);
}

inline uint64_t load_be64(const std::byte* from) noexcept {
  be64 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline void store_be64(std::byte* to, uint64_t value) noexcept {
  const be64 wire = value;
  std::memcpy(to, &wire, sizeof wire);
}

// What follows from cluster_bits, refcount_order and the feature bits.
struct Geometry {
  uint32_t cluster_bits = 16;
  uint32_t refcount_order = 4;
  bool extended_l2 = false;
  bool data_file = false;  // guest clusters lie in another file at their guest offset
  bool zero_flag = true;   // version 3: bit 0 of an L2 entry means "reads as zeros"

  uint64_t cluster_size() const noexcept { return uint64_t{1} << cluster_bits; }
  uint64_t in_cluster(uint64_t offset) const noexcept { return offset & (cluster_size() - 1); }
  uint32_t l2_entry_size() const noexcept { return extended_l2 ? 16 : 8; }
  uint64_t l2_entries() const noexcept { return cluster_size() / l2_entry_size(); }
  // Guest bytes that one L2 table (one L1 entry) maps; at most 2^39.
  uint64_t l2_coverage() const noexcept { return l2_entries() << cluster_bits; }
  uint64_t l1_index(uint64_t guest) const noexcept { return guest / l2_coverage(); }
  uint64_t l2_index(uint64_t guest) const noexcept {
    return (guest >> cluster_bits) & (l2_entries() - 1);
  }
  uint64_t l1_entries_for(uint64_t size) const noexcept { return div_up(size, l2_coverage()); }
  // The unit of allocation and of copy-on-write inside a cluster.
  uint64_t granule() const noexcept {
    return extended_l2 ? cluster_size() / kSubclusters : cluster_size();
  }
  uint32_t refcount_bits() const noexcept { return 1u << refcount_order; }
  uint64_t refcount_max() const noexcept {
    return refcount_order == 6 ? ~uint64_t{0} : (uint64_t{1} << refcount_bits()) - 1;
  }
  uint64_t refcount_block_entries() const noexcept {
    return (cluster_size() * 8) >> refcount_order;
  }
  // Tables are cached and written in slices of this size.
  uint32_t slice_size() const noexcept {
    return static_cast<uint32_t>(cluster_size() < 4096 ? cluster_size() : 4096);
  }
};

enum class Kind : uint8_t {
  unallocated,  // the backing image shows through
  zero,         // reads as zeros; may own a host cluster
  data,
  compressed,
  invalid,  // no image has this; the file is damaged or hostile
};

// One guest cluster as an L2 table describes it; `bitmap` is 0 without extended entries.
struct L2Entry {
  uint64_t descriptor = 0;
  uint64_t bitmap = 0;

  bool copied() const noexcept { return (descriptor & kCopied) != 0; }
  bool compressed() const noexcept { return (descriptor & kCompressed) != 0; }
  uint64_t host() const noexcept { return descriptor & kOffsetMask; }
  uint32_t allocated_bits() const noexcept { return static_cast<uint32_t>(bitmap); }
  uint32_t zero_bits() const noexcept { return static_cast<uint32_t>(bitmap >> 32); }
  bool operator==(const L2Entry&) const = default;

  // Owns a host cluster (not: compressed).
  bool has_host(const Geometry& geometry) const noexcept {
    return !compressed() && (host() != 0 || (geometry.data_file && copied()));
  }
  // `subcluster` is ignored without extended entries.
  Kind kind(const Geometry& geometry, uint32_t subcluster) const noexcept;
};

inline Kind L2Entry::kind(const Geometry& geometry, uint32_t subcluster) const noexcept {
  if (compressed()) return geometry.data_file ? Kind::invalid : Kind::compressed;
  if (geometry.in_cluster(host()) != 0) return Kind::invalid;
  const bool owned = has_host(geometry);
  if (geometry.extended_l2) {
    const bool allocated = (allocated_bits() >> subcluster) & 1;
    const bool zero = (zero_bits() >> subcluster) & 1;
    if (allocated && (zero || !owned)) return Kind::invalid;
    if (allocated) return Kind::data;
    return zero ? Kind::zero : Kind::unallocated;
  }
  if (descriptor & kZeroFlag) return geometry.zero_flag ? Kind::zero : Kind::invalid;
  return owned ? Kind::data : Kind::unallocated;
}

// The bits of subclusters [first, end) in the lower half of a bitmap.
inline constexpr uint64_t kAllSubclusters = 0xffffffff;
constexpr uint64_t subcluster_bits(uint64_t first, uint64_t end) noexcept {
  return first >= end ? 0 : ((uint64_t{1} << end) - 1) & ~((uint64_t{1} << first) - 1);
}

// "Compressed Clusters Descriptor".
struct CompressedRange {
  uint64_t offset = 0;
  uint64_t length = 0;  // up to the end of the last 512-byte sector
};
inline CompressedRange decode_compressed(uint64_t descriptor, uint32_t cluster_bits) noexcept {
  const uint32_t shift = 62 - (cluster_bits - 8);
  const uint64_t sectors = ((descriptor >> shift) & ((uint64_t{1} << (cluster_bits - 8)) - 1)) + 1;
  const uint64_t offset = descriptor & ((uint64_t{1} << shift) - 1);
  return {offset, sectors * 512 - (offset & 511)};
}
// `length` bytes of payload at `offset`; both fit (offset below 2^(70 - cluster_bits)).
inline uint64_t encode_compressed(uint64_t offset, uint64_t length,
                                  uint32_t cluster_bits) noexcept {
  const uint32_t shift = 62 - (cluster_bits - 8);
  const uint64_t sectors = ((offset + length - 1) >> 9) - (offset >> 9);
  return kCompressed | (sectors << shift) | offset;
}

// "Refcount block entry": entry `index` of a block or slice, 1 << order bits wide.
inline uint64_t get_refcount(std::span<const std::byte> block, uint64_t index,
                             uint32_t order) noexcept {
  const std::byte* at = block.data() + ((index << order) >> 3);
  switch (order) {
    case 3:
      return std::to_integer<uint64_t>(*at);
    case 4: {
      be16 value;
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    case 5: {
      be32 value;
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    case 6:
      return load_be64(at);
    default: {  // below a byte: bit 0 of the byte belongs to the first entry
      const uint32_t bits = 1u << order;
      const uint32_t shift = static_cast<uint32_t>((index << order) & 7);
      return (std::to_integer<uint32_t>(*at) >> shift) & ((1u << bits) - 1);
    }
  }
}
inline void set_refcount(std::span<std::byte> block, uint64_t index, uint32_t order,
                         uint64_t value) noexcept {
  std::byte* at = block.data() + ((index << order) >> 3);
  switch (order) {
    case 3:
      *at = static_cast<std::byte>(value);
      return;
    case 4: {
      const be16 wire = static_cast<uint16_t>(value);
      std::memcpy(at, &wire, sizeof wire);
      return;
    }
    case 5: {
      const be32 wire = static_cast<uint32_t>(value);
      std::memcpy(at, &wire, sizeof wire);
      return;
    }
    case 6:
      store_be64(at, value);
      return;
    default: {
      const uint32_t mask = (1u << (1u << order)) - 1;
      const uint32_t shift = static_cast<uint32_t>((index << order) & 7);
      const uint32_t old = std::to_integer<uint32_t>(*at);
      *at = static_cast<std::byte>((old & ~(mask << shift)) |
                                   ((static_cast<uint32_t>(value) & mask) << shift));
    }
  }
}

}  // namespace vireo::blk::qcow2
