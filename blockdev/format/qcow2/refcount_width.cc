// Refcounts of another width: the whole refcount structure is written anew behind all that is in
// use, and one write of the header lets it be in force.
#include <algorithm>

#include "blockdev/format/qcow2/allocator.h"

namespace vireo::blk::qcow2 {

// A count as it is on disk; `bytes` keeps the block that was read last.
Task<Outcome<uint64_t>> Allocator::stored_count(uint64_t cluster, OldBlock& block) {
  if (!has_block(cluster)) co_return Outcome<uint64_t>{};
  const uint64_t at = table_[block_of(cluster)];
  if (block.offset != at) {
    if (bad_block(at)) {
      const std::error_code error = co_await impossible_block(at);
      co_return Outcome<uint64_t>{error};
    }
    block.bytes = Buffer(image_.geometry.cluster_size());
    const std::error_code error = co_await image_.file.read(at, block.bytes);
    if (error) co_return Outcome<uint64_t>{error};
    block.offset = at;
  }
  co_return Outcome<uint64_t>{
      {},
      get_refcount(std::as_const(block.bytes).bytes(), cluster % block_entries_,
                   image_.geometry.refcount_order)};
}

// What counts now: the new structure does, the old one no longer.
Task<Outcome<uint64_t>> Allocator::next_count(uint64_t cluster, const RefcountArea& area,
                                              OldBlock& block) {
  if (cluster >= area.first) co_return Outcome<uint64_t>{{}, cluster < area.end()};
  const uint64_t at = cluster << cluster_bits_;
  const bool old = (at >= table_at_.offset && at - table_at_.offset < table_at_.length) ||
                   image_.refcount_blocks.count(cluster) > 0;
  if (old) co_return Outcome<uint64_t>{};
  co_return co_await stored_count(cluster, block);
}

Task<std::error_code> Allocator::write_next_block(const Geometry& next, uint64_t number,
                                                  const RefcountArea& area, OldBlock& block) {
  Buffer bytes = Buffer::zeros(next.cluster_size());
  const uint64_t first = number * next.refcount_block_entries();
  const uint64_t end = std::min(first + next.refcount_block_entries(), area.end());
  for (uint64_t cluster = first; cluster < end; ++cluster) {
    const Outcome<uint64_t> count = co_await next_count(cluster, area, block);
    if (count.error) co_return count.error;
    if (count.value > next.refcount_max())
      co_return std::make_error_code(std::errc::value_too_large);
    set_refcount(bytes.bytes(), cluster - first, next.refcount_order, count.value);
  }
  co_return co_await image_.file.write(area.table[number], bytes);
}

// New blocks for the clusters that the old ones count.
std::vector<bool> Allocator::blocks_needed(const Geometry& next) const {
  const uint64_t entries = next.refcount_block_entries();
  std::vector<bool> needed(div_up(*end_, entries));
  for (size_t block = 0; block < table_.size(); ++block) {
    if (table_[block] == 0) continue;
    const uint64_t end = std::min((block + 1) * block_entries_, *end_);
    for (uint64_t at = block * block_entries_ / entries; at * entries < end; ++at)
      needed[at] = true;
  }
  return needed;
}

Task<std::error_code> Allocator::change_order(uint32_t order, ProgressFunction progress) {
  std::error_code error = co_await write_back();
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  if (!error) error = co_await find_end();
  if (error) co_return error;
  Geometry next = image_.geometry;
  next.refcount_order = order;
  std::vector<bool> needed = blocks_needed(next);
  Outcome<RefcountArea> reserved = co_await reserve_area(next, std::move(needed));
  error = reserved.error;
  const RefcountArea area = std::move(reserved.value);
  OldBlock block;
  for (size_t i = 0; i < area.table.size() && !error; ++i) {
    if (area.table[i] != 0) error = co_await write_next_block(next, i, area, block);
    if (!error && progress && !progress(i + 1, area.table.size()))
      error = std::make_error_code(std::errc::operation_canceled);
  }
  if (!error) error = co_await put_in_force(next, area);
  co_return error;
}

Task<std::error_code> Allocator::put_in_force(const Geometry& next, const RefcountArea& area) {
  Buffer bytes = table_bytes(area.table);
  const HostRange at{area.first << cluster_bits_, bytes.size()};
  std::error_code error = co_await image_.file.write(at.offset, bytes);
  if (!error) error = co_await image_.file.flush();
  if (error) co_return error;
  Header header = image_.header;
  header.refcount_order = next.refcount_order;
  header.refcount_table_offset = at.offset;
  header.refcount_table_clusters = static_cast<uint32_t>(area.table_clusters);
  error = co_await image_.publish(std::move(header));
  if (error) co_return error;
  image_.geometry = next;
  image_.file.touched((area.end()) << cluster_bits_);
  set_width();
  replace_table(area.table, at);
  co_return error;
}

}  // namespace vireo::blk::qcow2
