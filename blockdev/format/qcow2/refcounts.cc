// The refcount of a cluster: looked up, set and changed.
#include <algorithm>

#include <fmt/core.h>

#include "blockdev/format/qcow2/allocator.h"

namespace vireo::blk::qcow2 {

uint64_t Allocator::slice_of(uint64_t cluster) const noexcept {
  const uint64_t in_block = cluster % block_entries_;
  return table_[block_of(cluster)] + in_block / slice_entries_ * cache_.slice_size();
}

uint64_t Allocator::get(const SliceCache::Slice& slice, uint64_t cluster) const noexcept {
  return get_refcount(slice.view(), index_in_slice(cluster), image_.geometry.refcount_order);
}

void Allocator::put(SliceCache::Slice& slice, uint64_t cluster, uint64_t value) {
  set_refcount(cache_.edit(slice), index_in_slice(cluster), image_.geometry.refcount_order, value);
}

// The slice that holds a cluster's count; its block must exist. Error: EIO for an impossible block.
Task<Outcome<SliceCache::Slice*>> Allocator::slice(uint64_t cluster) {
  if (const uint64_t block = table_[block_of(cluster)]; bad_block(block)) {
    const std::error_code error = co_await impossible_block(block);
    co_return Outcome<SliceCache::Slice*>{error};
  }
  const uint64_t offset = slice_of(cluster);
  for (;;) {
    if (SliceCache::Slice* found = cache_.find(offset))
      co_return Outcome<SliceCache::Slice*>{{}, found};
    std::error_code error;
    if (!cache_.make_room()) error = co_await write_back();
    if (!error) error = co_await cache_.fetch(offset);
    if (error) co_return Outcome<SliceCache::Slice*>{error};
  }
}

Task<Outcome<uint64_t>> Allocator::refcount(uint64_t offset) {
  const uint64_t cluster = offset >> cluster_bits_;
  if (!has_block(cluster)) co_return Outcome<uint64_t>{};
  const Outcome<SliceCache::Slice*> found = co_await slice(cluster);
  if (found.error) co_return Outcome<uint64_t>{found.error};
  co_return Outcome<uint64_t>{{}, get(*found.value, cluster)};
}

Task<std::error_code> Allocator::set(uint64_t cluster, uint64_t value) {
  const Outcome<SliceCache::Slice*> found = co_await slice(cluster);
  if (found.error) co_return found.error;
  put(*found.value, cluster, value);
  if (value == 0) scan_ = std::min(scan_, cluster);
  co_return std::error_code{};
}

Task<std::error_code> Allocator::mark_used(uint64_t first, uint64_t count) {
  for (uint64_t at = first; at < first + count;) {
    const Outcome<SliceCache::Slice*> found = co_await slice(at);
    if (found.error) co_return found.error;
    const uint64_t stop = std::min(first + count, at - index_in_slice(at) + slice_entries_);
    for (; at < stop; ++at) put(*found.value, at, 1);
  }
  co_return std::error_code{};
}

Task<std::error_code> Allocator::add_locked(uint64_t offset, uint64_t length, int delta) {
  const uint64_t end = (offset + length - 1) >> cluster_bits_;
  for (uint64_t at = offset >> cluster_bits_; at <= end; ++at) {
    uint64_t count = 0;
    Outcome<SliceCache::Slice*> found;
    if (has_block(at)) {
      found = co_await slice(at);
      if (found.error) co_return found.error;
      count = get(*found.value, at);
    }
    if (count == 0) {
      std::string why =
          fmt::format("cluster {:#x} is in use and counts as free", at << cluster_bits_);
      co_return co_await image_.corrupt(std::move(why));
    }
    if (delta > 0 && count == image_.geometry.refcount_max())
      co_return Refusal::too_many_references;
    count = delta > 0 ? count + 1 : count - 1;
    if (count == 0 && forbidden(at, 1)) {
      std::string why =
          fmt::format("cluster {:#x} holds a table and is freed", at << cluster_bits_);
      co_return co_await image_.corrupt(std::move(why));
    }
    put(*found.value, at, count);
    if (count > 0) continue;
    scan_ = std::min(scan_, at);
    if (packed_ >> cluster_bits_ == at) packed_ = 0;
  }
  co_return std::error_code{};
}

Task<std::error_code> Allocator::add(uint64_t offset, uint64_t length, int delta) {
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  co_return co_await add_locked(offset, length, delta);
}

}  // namespace vireo::blk::qcow2
