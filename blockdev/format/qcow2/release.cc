// Step 6 of the order of writes: clusters that were unlinked lose a reference.
#include "blockdev/format/qcow2/allocator.h"

namespace vireo::blk::qcow2 {

namespace {

constexpr size_t kParallelDiscards = 8;

}  // namespace

// Of the ranges, the whole clusters that nobody else refers to.
Task<Outcome<std::vector<HostRange>>> Allocator::last_references(
    const std::vector<HostRange>& ranges) {
  const uint64_t cluster = image_.geometry.cluster_size();
  Outcome<std::vector<HostRange>> result;
  std::vector<HostRange>& last = result.value;
  for (const HostRange& range : ranges) {
    if (image_.geometry.in_cluster(range.offset | range.length) != 0) continue;  // compressed
    for (uint64_t at = range.offset; at < range.offset + range.length; at += cluster) {
      const Outcome<uint64_t> count = co_await refcount(at);
      if (count.error) co_return Outcome<std::vector<HostRange>>{count.error};
      if (count.value != 1 || image_.is_metadata(at, cluster)) continue;
      if (!last.empty() && last.back().offset + last.back().length == at)
        last.back().length += cluster;
      else
        last.push_back({at, cluster});
    }
  }
  co_return result;
}

// Gives the space back to the host. Only a hint: errors do not matter.
Task<std::error_code> Allocator::punch(std::vector<HostRange> ranges) {
  Gather gather(kParallelDiscards);
  for (const HostRange& range : ranges) {
    if (!image_.file.contains(range.offset, range.length)) continue;
    Task<std::error_code> task = image_.file.node().discard(range.offset, range.length);
    co_await gather.add(std::move(task));
  }
  co_return co_await gather.done();
}

Task<std::error_code> Allocator::release(uint64_t oldest_active) {
  std::vector<HostRange> ranges = freed_.take_unseen(oldest_active);
  if (ranges.empty()) co_return std::error_code{};
  if (image_.file.node().limits().can_discard) {
    // Nothing refers to these clusters any more and nobody may allocate them yet, so the mutex is
    // not needed for looking, nor while the host works.
    const Outcome<std::vector<HostRange>> last = co_await last_references(ranges);
    if (last.error) {
      freed_.postpone(std::move(ranges));
      co_return last.error;
    }
    std::vector<HostRange> to_punch = last.value;
    [[maybe_unused]] const std::error_code hint = co_await punch(std::move(to_punch));
  }
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  std::error_code error;
  size_t done = 0;
  for (; done < ranges.size() && !error; ++done) {
    const HostRange& range = ranges[done];
    freed_.gone(range);
    error = co_await add_locked(range.offset, range.length, -1);  // a failed one stays as a leak
  }
  if (done == ranges.size()) co_return error;
  ranges.erase(ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(done));
  freed_.postpone(std::move(ranges));
  co_return error;
}

}  // namespace vireo::blk::qcow2
