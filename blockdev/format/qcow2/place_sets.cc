#include "blockdev/format/qcow2/place_sets.h"

#include <algorithm>
#include <limits>

namespace vireo::blk::qcow2 {

void ClusterSet::assign(std::vector<uint64_t> clusters) {
  sorted_ = std::move(clusters);
  std::sort(sorted_.begin(), sorted_.end());
  forget_gap();
}

void ClusterSet::insert(uint64_t cluster) {
  sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), cluster), cluster);
  forget_gap();
}

void ClusterSet::erase(uint64_t cluster) noexcept {
  const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), cluster);
  if (at == sorted_.end() || *at != cluster) return;
  sorted_.erase(at);
  forget_gap();
}

size_t ClusterSet::count(uint64_t cluster) const noexcept {
  const auto [first, last] = std::equal_range(sorted_.begin(), sorted_.end(), cluster);
  return static_cast<size_t>(last - first);
}

bool ClusterSet::search(uint64_t first, uint64_t end) const noexcept {
  const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), first);
  if (at != sorted_.end() && *at < end) return true;
  gap_first_ = at == sorted_.begin() ? 0 : *(at - 1) + 1;
  gap_end_ = at == sorted_.end() ? std::numeric_limits<uint64_t>::max() : *at;
  return false;
}

void RangeSet::assign(std::vector<HostRange> ranges) {
  std::erase_if(ranges, [](const HostRange& range) { return range.length == 0; });
  std::sort(ranges.begin(), ranges.end(),
            [](const HostRange& a, const HostRange& b) { return a.offset < b.offset; });
  merged_.clear();
  for (const HostRange& range : ranges) {
    const uint64_t end = range.offset + range.length;
    if (!merged_.empty() && range.offset <= merged_.back().second)
      merged_.back().second = std::max(merged_.back().second, end);
    else
      merged_.emplace_back(range.offset, end);
  }
}

bool RangeSet::overlaps(uint64_t offset, uint64_t length) const noexcept {
  if (merged_.empty()) return false;
  // The first that ends behind the offset.
  const auto at = std::lower_bound(
      merged_.begin(), merged_.end(), offset,
      [](const std::pair<uint64_t, uint64_t>& range, uint64_t to) { return range.second <= to; });
  return at != merged_.end() && at->first < offset + length;
}

}  // namespace vireo::blk::qcow2
