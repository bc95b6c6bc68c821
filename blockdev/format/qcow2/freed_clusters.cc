#include "blockdev/format/qcow2/freed_clusters.h"

#include <algorithm>

namespace vireo::blk::qcow2 {

void FreedClusters::add(uint64_t offset, uint64_t length) {
  waiting_ += clusters(length);
  const bool joins = !freed_.empty() && freed_.back().offset + freed_.back().length == offset &&
                     (offset | length | freed_.back().offset) % cluster_size_ == 0;
  if (joins)
    freed_.back().length += length;
  else
    freed_.push_back({offset, length});
}

void FreedClusters::put_back(const std::vector<HostRange>& ranges) {
  freed_.insert(freed_.end(), ranges.begin(), ranges.end());
}

void FreedClusters::seal(uint64_t epoch, std::vector<HostRange> ranges) {
  if (!ranges.empty()) sealed_.push_back({epoch, std::move(ranges)});
}

std::vector<HostRange> FreedClusters::take_unseen(uint64_t oldest_active) {
  std::vector<HostRange> ranges;
  while (!sealed_.empty() && sealed_.front().epoch < oldest_active) {
    const std::vector<HostRange>& batch = sealed_.front().ranges;
    ranges.insert(ranges.end(), batch.begin(), batch.end());
    sealed_.pop_front();
  }
  std::ranges::sort(ranges, {}, &HostRange::offset);
  return ranges;
}

void FreedClusters::postpone(std::vector<HostRange> ranges) {
  sealed_.push_front({0, std::move(ranges)});
}

}  // namespace vireo::blk::qcow2
