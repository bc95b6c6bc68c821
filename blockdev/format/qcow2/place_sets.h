// Places in an image file that hold tables: what the guest writes must never go there, whatever an
// L2 entry says.
//
// Any thread. Memory: a few bytes for each table. Looking up is a search in a sorted array, or less
// when it falls where the one before did.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace vireo::blk::qcow2 {

struct HostRange {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Clusters, by number; one may be there several times.
class ClusterSet {
 public:
  void assign(std::vector<uint64_t> clusters);
  void insert(uint64_t cluster);
  void erase(uint64_t cluster) noexcept;  // once; nothing if it is not there
  size_t count(uint64_t cluster) const noexcept;
  // Any of [first, end).
  bool any(uint64_t first, uint64_t end) const noexcept {
    return (first < gap_first_ || end > gap_end_) && search(first, end);
  }

 private:
  bool search(uint64_t first, uint64_t end) const noexcept;
  void forget_gap() const noexcept { gap_first_ = gap_end_ = 0; }

  std::vector<uint64_t> sorted_;
  // The stretch between two neighbours that the last search fell into.
  mutable uint64_t gap_first_ = 0, gap_end_ = 0;
};

// Ranges of bytes.
class RangeSet {
 public:
  void assign(std::vector<HostRange> ranges);
  bool overlaps(uint64_t offset, uint64_t length) const noexcept;

 private:
  std::vector<std::pair<uint64_t, uint64_t>> merged_;  // begin and end; apart from each other
};

}  // namespace vireo::blk::qcow2
