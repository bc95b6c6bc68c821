// Host clusters that were unlinked and still have their counts: steps 0 and 6 of the order of
// writes (allocator.h). They come in when an entry in memory no longer leads to them, are sealed
// when that is on disk, and go when no request is under way that may have seen the entry.
//
// Thread: the node's loop.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "blockdev/format/qcow2/place_sets.h"

namespace vireo::blk::qcow2 {

class FreedClusters {
 public:
  explicit FreedClusters(uint64_t cluster_size) noexcept : cluster_size_(cluster_size) {}

  // All clusters that the range touches lose a reference.
  void add(uint64_t offset, uint64_t length);
  // What take() gave in step 0 is sealed once it is unlinked on disk, or put back when that failed.
  // `epoch` is the one of the requests under way by then.
  std::vector<HostRange> take() noexcept { return std::exchange(freed_, {}); }
  void put_back(const std::vector<HostRange>& ranges);
  void seal(uint64_t epoch, std::vector<HostRange> ranges);
  bool has_sealed() const noexcept { return !sealed_.empty(); }

  // What no epoch before `oldest_active` can see, in the order of offsets. Each range is reported
  // as gone, or postponed.
  std::vector<HostRange> take_unseen(uint64_t oldest_active);
  void gone(const HostRange& range) noexcept { waiting_ -= clusters(range.length); }
  void postpone(std::vector<HostRange> ranges);

  // Clusters that are not gone; many make a flush worthwhile.
  uint64_t waiting() const noexcept { return waiting_; }

 private:
  struct Batch {
    uint64_t epoch = 0;
    std::vector<HostRange> ranges;
  };
  uint64_t clusters(uint64_t length) const noexcept {
    return (length + cluster_size_ - 1) / cluster_size_;
  }

  const uint64_t cluster_size_;
  std::vector<HostRange> freed_;  // unlinked in memory, perhaps not yet on disk
  std::deque<Batch> sealed_;      // unlinked on disk
  uint64_t waiting_ = 0;
};

}  // namespace vireo::blk::qcow2
