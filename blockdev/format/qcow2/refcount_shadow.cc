// The shadow of the refcount structure: allocator.h says what it is for.
#include <algorithm>

#include "blockdev/format/qcow2/allocator.h"

namespace vireo::blk::qcow2 {

RefcountArea place_refcounts(const Geometry& geometry, std::vector<bool> needed, uint64_t first) {
  const uint64_t per_block = geometry.refcount_block_entries();
  RefcountArea area{.first = first};
  for (uint64_t before = ~uint64_t{0}; area.clusters != before;) {
    before = area.clusters;
    const uint64_t last = (first + area.clusters) / per_block;
    if (needed.size() <= last) needed.resize(last + 1);
    for (uint64_t block = first / per_block; block <= last; ++block) needed[block] = true;
    area.table_clusters = div_up(needed.size() * 8, geometry.cluster_size());
    area.clusters =
        area.table_clusters + static_cast<uint64_t>(std::count(needed.begin(), needed.end(), true));
  }
  area.table.resize(area.table_clusters * geometry.cluster_size() / 8);
  uint64_t next = first + area.table_clusters;
  for (size_t block = 0; block < needed.size(); ++block)
    if (needed[block]) area.table[block] = next++ << geometry.cluster_bits;
  return area;
}

// Room for a structure behind all that is in use, whose end is known.
Task<Outcome<RefcountArea>> Allocator::reserve_area(const Geometry& geometry,
                                                    std::vector<bool> needed) {
  const RefcountArea area = place_refcounts(geometry, std::move(needed), *end_);
  std::error_code error;
  if (area.table_clusters << cluster_bits_ > kMaxRefcountTableBytes ||
      area.end() >= kMaxHostOffset >> cluster_bits_)
    error = std::make_error_code(std::errc::no_space_on_device);
  else if (forbidden(area.first, area.clusters))
    error = co_await image_.corrupt("a table lies where nothing is counted");
  else
    error = co_await image_.file.reserve(area.end() << cluster_bits_, true);
  co_return Outcome<RefcountArea>{error, area};
}

// One block of the copy: the old one's counts, and those of the area itself.
Task<std::error_code> Allocator::copy_block(uint64_t block, const RefcountArea& area) {
  Buffer bytes = Buffer::zeros(image_.geometry.cluster_size());
  std::error_code error;
  if (const uint64_t old = block < table_.size() ? table_[block] : 0; old != 0) {
    if (bad_block(old)) co_return co_await impossible_block(old);
    error = co_await image_.file.read(old, bytes);
  }
  if (error) co_return error;
  const uint64_t first = block * block_entries_;
  for (uint64_t at = std::max(first, area.first); at < std::min(first + block_entries_, area.end());
       ++at)
    set_refcount(bytes.bytes(), at - first, image_.geometry.refcount_order, 1);
  cache_.forget(area.table[block], bytes.size());
  co_return co_await image_.file.write(area.table[block], bytes);
}

// Behind all that is in use.
Task<std::error_code> Allocator::copy_structure() {
  std::error_code error = co_await find_end();
  if (error) co_return error;
  std::vector<bool> needed(table_.size());
  for (size_t block = 0; block < table_.size(); ++block) needed[block] = table_[block] != 0;
  Outcome<RefcountArea> reserved = co_await reserve_area(image_.geometry, std::move(needed));
  error = reserved.error;
  const RefcountArea area = std::move(reserved.value);
  for (size_t block = 0; block < area.table.size() && !error; ++block)
    if (area.table[block] != 0) error = co_await copy_block(block, area);
  Buffer bytes = table_bytes(area.table);
  if (!error) error = co_await image_.file.write(area.first << cluster_bits_, bytes);
  if (error) co_return error;
  image_.file.touched(area.end() << cluster_bits_);
  shadow_ = Shadow{std::move(table_), table_at_, end_, scan_, {}};
  table_ = area.table;
  note_blocks();
  table_at_ = {area.first << cluster_bits_, bytes.size()};
  end_ = area.end();
  co_return error;
}

Task<std::error_code> Allocator::begin_shadow() {
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  if (image_.is_corrupt()) co_return io_error();
  co_return co_await copy_structure();
}

Task<std::error_code> Allocator::drop(uint64_t offset, uint64_t length) {
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  const uint64_t cluster = image_.geometry.cluster_size();
  for (uint64_t at = align_down(offset, cluster); at < offset + length; at += cluster) {
    const Outcome<uint64_t> count = co_await refcount(at);
    std::error_code error = count.error;
    if (!error && count.value == 1)
      shadow_->unused.push_back({at, cluster});
    else if (!error)
      error = co_await add_locked(at, cluster, -1);
    if (error) co_return error;
  }
  co_return std::error_code{};
}

void Allocator::accept_shadow() {
  const Shadow old = std::move(*shadow_);
  shadow_.reset();
  for (const uint64_t block : old.table) {
    if (block == 0) continue;
    cache_.forget(block, image_.geometry.cluster_size());
    free_later(block, image_.geometry.cluster_size());
  }
  free_later(old.table_at.offset, old.table_at.length);
  for (const HostRange& range : old.unused) free_later(range.offset, range.length);
}

void Allocator::abandon_shadow() {
  Shadow old = std::move(*shadow_);
  shadow_.reset();
  replace_table(std::move(old.table), old.table_at);
  end_ = old.end;
  scan_ = old.scan;
}

}  // namespace vireo::blk::qcow2
