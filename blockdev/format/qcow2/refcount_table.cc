// The refcount structure itself ("Host cluster management"): its table, its blocks, how both grow,
// and their way to the disk.
#include <algorithm>

#include <fmt/core.h>

#include "blockdev/format/qcow2/allocator.h"

namespace vireo::blk::qcow2 {

namespace {

std::error_code no_space() noexcept {
  return std::make_error_code(std::errc::no_space_on_device);
}

}  // namespace

void Allocator::set_width() noexcept {
  const Geometry& geometry = image_.geometry;
  block_entries_ = geometry.refcount_block_entries();
  slice_entries_ = (uint64_t{geometry.slice_size()} * 8) >> geometry.refcount_order;
}

// A table that is lost in whole or in part, in an image that is only read or repaired, counts
// nothing.
Task<std::error_code> Allocator::load() {
  const uint64_t at = image_.header.refcount_table_offset;
  Buffer bytes = Buffer::zeros(uint64_t{image_.header.refcount_table_clusters} << cluster_bits_);
  std::error_code error;
  if (image_.refcount_table_bytes() > 0) error = co_await image_.file.read(at, bytes);
  if (error) co_return error;
  table_at_ = {at, bytes.size()};
  table_.resize(bytes.size() / 8);
  odd_entries_ = 0;
  for (size_t i = 0; i < table_.size(); ++i) {
    const uint64_t entry = load_be64(bytes.data() + i * 8);
    odd_entries_ += (entry & ~kRefcountOffsetMask) != 0;
    table_[i] = entry & kRefcountOffsetMask;
  }
  note_blocks();
  co_return std::error_code{};
}

Buffer table_bytes(const std::vector<uint64_t>& table) {
  Buffer bytes(table.size() * 8);
  for (size_t i = 0; i < table.size(); ++i) store_be64(bytes.data() + i * 8, table[i]);
  return bytes;
}

bool Allocator::has_block(uint64_t cluster) const noexcept {
  const uint64_t block = block_of(cluster);
  return block < table_.size() && table_[block] != 0;
}

void Allocator::replace_table(std::vector<uint64_t> table, HostRange at) {
  for (const uint64_t block : table_)
    if (block != 0) cache_.forget(block, image_.geometry.cluster_size());
  table_ = std::move(table);
  odd_entries_ = 0;
  table_at_ = at;
  dirty_entries_.clear();
  end_.reset();
  scan_ = 1;
  packed_ = 0;
  note_blocks();
}

void Allocator::note_blocks() {
  if (image_.read_only) return;
  std::vector<uint64_t> clusters;
  for (const uint64_t block : table_)
    if (block != 0) clusters.push_back(block >> cluster_bits_);
  image_.refcount_blocks.assign(std::move(clusters));
}

// No refcount block can be there, or something else is there too.
bool Allocator::bad_block(uint64_t block) const noexcept {
  const uint64_t cluster = block >> cluster_bits_;
  return image_.geometry.in_cluster(block) != 0 || block >= kMaxHostOffset || block == 0 ||
         !image_.file.contains(block, 1) ||
         image_.is_fixed(block, image_.geometry.cluster_size()) ||
         image_.refcount_blocks.count(cluster) > 1 || image_.l2_tables.any(cluster, cluster + 1) ||
         image_.snapshot_l1s.overlaps(block, image_.geometry.cluster_size());
}

Task<std::error_code> Allocator::impossible_block(uint64_t block) {
  const auto index = std::find(table_.begin(), table_.end(), block) - table_.begin();
  std::string why =
      fmt::format("a refcount block lies at {:#x} (entry {} of the refcount table)", block, index);
  co_return co_await image_.corrupt(std::move(why));
}

// Makes the refcount block exist. New blocks lie at the end of the image, which moves.
Task<std::error_code> Allocator::ensure_block(uint64_t block) {
  std::error_code error;
  while (!error && (block >= table_.size() || table_[block] == 0)) {
    const uint64_t block_of_end = block_of(*end_);
    const uint64_t entries = std::max(block, block_of_end) + 1;
    if (entries > table_.size()) {
      error = co_await grow_table(entries);
      continue;
    }
    // The block that counts the new block comes first.
    const uint64_t next = table_[block_of_end] == 0 ? block_of_end : block;
    error = co_await create_block(next);
  }
  co_return error;
}

Task<std::error_code> Allocator::create_block(uint64_t block) {
  const uint64_t at = *end_;
  const uint64_t offset = at << cluster_bits_;
  const bool counts_itself = block_of(at) == block;
  if (!counts_itself) {
    const Outcome<SliceCache::Slice*> found = co_await slice(at);
    if (found.error) co_return found.error;
    if (get(*found.value, at) != 0) {
      end_ = at + 1;
      co_return std::error_code{};
    }
  }
  if (forbidden(at, 1)) co_return co_await image_.corrupt("a table lies where nothing is counted");
  std::error_code error =
      co_await image_.file.reserve(offset + image_.geometry.cluster_size(), true);
  if (!error && offset < image_.file.untouched_from()) {
    Buffer zeros = Buffer::zeros(image_.geometry.cluster_size());
    error = co_await image_.file.write(offset, zeros);
  }
  if (error) co_return error;
  if (!counts_itself) {
    const Outcome<SliceCache::Slice*> found = co_await slice(at);
    if (found.error) co_return found.error;
    put(*found.value, at, 1);
  }
  cache_.forget(offset, image_.geometry.cluster_size());
  image_.file.touched(offset + image_.geometry.cluster_size());
  table_[block] = offset;
  image_.refcount_blocks.insert(at);
  dirty_entries_.insert(block);
  if (counts_itself) put(*cache_.insert_zeros(slice_of(at)), at, 1);
  if (scan_ == at) scan_ = at + 1;
  end_ = at + 1;
  co_return std::error_code{};
}

// A new, larger refcount table at the end of the image, followed by the blocks that count it.
Task<std::error_code> Allocator::grow_table(uint64_t entries) {
  const uint64_t per_cluster = image_.geometry.cluster_size() / 8;
  const uint64_t first = *end_;
  uint64_t table_clusters = 0, blocks = 0;
  for (bool settled = false; !settled;) {
    const uint64_t end = first + table_clusters + blocks;
    const uint64_t wanted = std::max(entries + entries / 2, block_of(end) + 1);
    const uint64_t new_clusters = div_up(wanted, per_cluster);
    uint64_t missing = 0;
    const uint64_t new_end = first + new_clusters + blocks;
    for (uint64_t block = block_of(first); block <= block_of(new_end - 1); ++block)
      missing += block >= table_.size() || table_[block] == 0;
    settled = new_clusters == table_clusters && missing == blocks;
    table_clusters = new_clusters;
    blocks = missing;
    if (table_clusters << cluster_bits_ > kMaxRefcountTableBytes) co_return no_space();
  }
  const uint64_t end = first + table_clusters + blocks;
  std::error_code error = co_await image_.file.reserve(end << cluster_bits_, true);
  if (error) co_return error;

  std::vector<uint64_t> table = table_;
  table.resize(table_clusters * per_cluster);
  uint64_t next_block = first + table_clusters;
  for (uint64_t at = first; at < end; ++at) {
    const uint64_t block = block_of(at);
    if (has_block(at)) {
      error = co_await mark_used(at, 1);
      if (error) co_return error;
      continue;
    }
    if (table[block] != 0) continue;
    table[block] = next_block++ << cluster_bits_;
    Buffer bytes = Buffer::zeros(image_.geometry.cluster_size());
    for (uint64_t c = std::max(first, block * block_entries_);
         c < std::min(end, (block + 1) * block_entries_); ++c)
      set_refcount(bytes.bytes(), c % block_entries_, image_.geometry.refcount_order, 1);
    cache_.forget(table[block], bytes.size());
    error = co_await image_.file.write(table[block], bytes);
    if (error) co_return error;
  }
  image_.file.touched(end << cluster_bits_);
  error = co_await install_table(std::move(table), first);
  if (error) co_return error;
  if (scan_ == first) scan_ = end;
  end_ = end;
  co_return std::error_code{};
}

// Writes a new refcount table at cluster `first` and makes the header point to it.
Task<std::error_code> Allocator::install_table(std::vector<uint64_t> table, uint64_t first) {
  Buffer bytes = table_bytes(table);
  std::error_code error = co_await write_back();
  if (!error) error = co_await image_.file.write(first << cluster_bits_, bytes);
  if (!error) error = co_await image_.file.flush();
  if (error) co_return error;
  const HostRange old = table_at_, now{first << cluster_bits_, bytes.size()};
  if (!shadow_) {  // otherwise the header will name it together with all else
    Header next = image_.header;
    next.refcount_table_offset = now.offset;
    next.refcount_table_clusters = static_cast<uint32_t>(now.length >> cluster_bits_);
    error = co_await image_.publish(std::move(next));
    if (error) co_return error;
  }
  table_ = std::move(table);
  table_at_ = now;
  note_blocks();
  if (shadow_)
    shadow_->unused.push_back(old);
  else
    free_later(old.offset, old.length);
  co_return std::error_code{};
}

Task<std::error_code> Allocator::write_entries() {
  const uint64_t block_size = image_.geometry.slice_size();
  std::set<uint64_t> entries = std::exchange(dirty_entries_, {});
  std::error_code error;
  for (auto at = entries.begin(); at != entries.end() && !error;) {
    const uint64_t part = align_down(*at * 8, block_size);
    Buffer bytes(block_size);
    for (uint64_t i = 0; i < block_size / 8; ++i)
      store_be64(bytes.data() + i * 8, table_[part / 8 + i]);
    error = co_await image_.file.write(table_at_.offset + part, bytes);
    while (at != entries.end() && *at * 8 < part + block_size) ++at;
  }
  if (error) dirty_entries_.merge(entries);
  co_return error;
}

Task<std::error_code> Allocator::write_back() {
  const AsyncMutex::Guard guard = co_await writing_.lock();
  std::vector<SliceCache::Captured> captured = cache_.capture();
  std::error_code error = co_await cache_.write(std::move(captured));
  if (error || dirty_entries_.empty()) co_return error;
  error = co_await image_.file.flush();
  if (!error) error = co_await write_entries();
  co_return error;
}

}  // namespace vireo::blk::qcow2
