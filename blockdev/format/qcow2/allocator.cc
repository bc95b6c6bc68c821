#include "blockdev/format/qcow2/allocator.h"

#include <algorithm>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

namespace {

constexpr int kSlicesPerScan = 4;    // looked through for holes by one allocation
constexpr int kSlicesForEnd = 4096;  // looked through for the last cluster in use
constexpr size_t kParallelDiscards = 8;

std::error_code no_space() noexcept {
  return std::make_error_code(std::errc::no_space_on_device);
}

}  // namespace

Allocator::Allocator(Image& image, uint64_t cache_bytes)
    : image_(image),
      cluster_bits_(image.geometry.cluster_bits),
      cache_(image.file, {DebugEvent::refblock_load, DebugEvent::refblock_update},
             image.geometry.slice_size(), cache_bytes) {
  set_width();
}

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

bool Allocator::forbidden(uint64_t cluster, uint64_t clusters) const noexcept {
  return image_.is_metadata(cluster << cluster_bits_, clusters << cluster_bits_);
}

std::optional<uint64_t> Allocator::used_end() const noexcept {
  if (!end_) return std::nullopt;
  return *end_ << cluster_bits_;
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

Task<Outcome<uint64_t>> Allocator::find_used_end() {
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  end_.reset();
  const std::error_code error = co_await find_end();
  if (error) co_return Outcome<uint64_t>{error};
  scan_ = std::min(scan_, *end_);
  co_return Outcome<uint64_t>{{}, *end_ << cluster_bits_};
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

// Goes backwards from the last refcount block to the last count that is not zero. An image with
// absurdly many empty blocks at its end is cut short: what is left over stays unused.
Task<std::error_code> Allocator::find_end() {
  if (end_) co_return std::error_code{};
  int budget = kSlicesForEnd;
  for (uint64_t block = table_.size(); block-- > 0;) {
    if (table_[block] == 0) continue;
    const uint64_t first = block * block_entries_;
    for (uint64_t at = first + block_entries_; at > first;) {
      const uint64_t slice_first = at - slice_entries_;
      if (budget-- == 0) {
        end_ = at;
        co_return std::error_code{};
      }
      const Outcome<SliceCache::Slice*> found = co_await slice(slice_first);
      if (found.error) co_return found.error;
      for (; at > slice_first; --at) {
        if (get(*found.value, at - 1) == 0) continue;
        end_ = at;
        co_return std::error_code{};
      }
    }
  }
  end_ = 1;  // even the header is unaccounted for; forbidden() will notice
  co_return std::error_code{};
}

// Free clusters in a row from `first` on, below `end`, inside the slice.
uint64_t Allocator::free_run(const SliceCache::Slice& slice, uint64_t first,
                             uint64_t end) const noexcept {
  const uint64_t slice_end = first - index_in_slice(first) + slice_entries_;
  uint64_t at = first;
  while (at < std::min(end, slice_end) && get(slice, at) == 0) ++at;
  return at - first;
}

// Takes clusters of a free run.
Run Allocator::take(SliceCache::Slice& slice, uint64_t first, uint64_t clusters) {
  const uint64_t end = first + clusters;
  for (uint64_t at = first; at < end; ++at) put(slice, at, 1);
  const uint64_t offset = first << cluster_bits_;
  const bool zeros = offset >= image_.file.untouched_from();
  image_.file.touched(end << cluster_bits_);
  if (scan_ == first) scan_ = end;
  end_ = std::max(*end_, end);
  return {offset, clusters, zeros};
}

std::optional<Run> Allocator::allocate_now(uint64_t clusters) {
  if (busy_ || !end_) return std::nullopt;
  const bool hole = scan_ < *end_;
  const uint64_t first = hole ? scan_ : *end_;
  if (!has_block(first)) return std::nullopt;
  SliceCache::Slice* found = cache_.find(slice_of(first));
  if (found == nullptr) return std::nullopt;
  const uint64_t end = hole ? std::min(*end_, first + clusters) : first + clusters;
  const uint64_t count = free_run(*found, first, end);
  if (count == 0 || forbidden(first, count)) return std::nullopt;
  if ((first + count) << cluster_bits_ > image_.file.size()) return std::nullopt;
  return take(*found, first, count);
}

// Looks for a hole below the end, a few slices at a time; no run: none found yet.
Task<Outcome<Run>> Allocator::allocate_hole(uint64_t clusters) {
  for (int budget = kSlicesPerScan; scan_ < *end_ && budget > 0;) {
    if (!has_block(scan_)) {  // free, but counting them would need a new block
      scan_ = std::min(*end_, (block_of(scan_) + 1) * block_entries_);
      continue;
    }
    const Outcome<SliceCache::Slice*> found = co_await slice(scan_);
    if (found.error) co_return Outcome<Run>{found.error};
    --budget;
    const uint64_t slice_end = scan_ - index_in_slice(scan_) + slice_entries_;
    const uint64_t stop = std::min(*end_, slice_end);
    while (scan_ < stop && get(*found.value, scan_) != 0) ++scan_;
    if (scan_ == stop) continue;
    const uint64_t first = scan_;
    const uint64_t count = free_run(*found.value, first, std::min(stop, first + clusters));
    if (forbidden(first, count)) {
      std::string why =
          fmt::format("cluster {:#x} holds a table and counts as free", first << cluster_bits_);
      const std::error_code error = co_await image_.corrupt(std::move(why));
      co_return Outcome<Run>{error};
    }
    co_return Outcome<Run>{{}, take(*found.value, first, count)};
  }
  co_return Outcome<Run>{};
}

// Moves the end behind clusters that are in use after all, and makes sure that it can be counted.
Task<std::error_code> Allocator::skip_used() {
  for (;;) {
    const uint64_t at = *end_;
    if (at << cluster_bits_ >= kMaxHostOffset - image_.geometry.cluster_size())
      co_return no_space();
    std::error_code error = co_await ensure_block(block_of(at));
    if (error) co_return error;
    if (*end_ != at) continue;
    const Outcome<SliceCache::Slice*> found = co_await slice(at);
    if (found.error) co_return found.error;
    if (get(*found.value, at) == 0) break;
    end_ = at + 1;
  }
  if (!forbidden(*end_, 1)) co_return std::error_code{};
  std::string why =
      fmt::format("cluster {:#x} holds a table and counts as free", *end_ << cluster_bits_);
  co_return co_await image_.corrupt(std::move(why));
}

Task<Outcome<Run>> Allocator::allocate_at_end(uint64_t clusters) {
  std::error_code error = co_await skip_used();
  if (error) co_return Outcome<Run>{error};
  const uint64_t first = *end_;
  const uint64_t limit = std::min(clusters, slice_entries_ - index_in_slice(first));
  error = co_await image_.file.reserve((first + limit) << cluster_bits_, true);
  if (error) co_return Outcome<Run>{error};
  const Outcome<SliceCache::Slice*> found = co_await slice(first);
  if (found.error) co_return Outcome<Run>{found.error};
  const uint64_t count = free_run(*found.value, first, first + limit);
  if (!forbidden(first, count)) co_return Outcome<Run>{{}, take(*found.value, first, count)};
  error = co_await image_.corrupt("a table lies where nothing is counted");
  co_return Outcome<Run>{error};
}

Task<Outcome<Run>> Allocator::allocate_locked(uint64_t clusters) {
  if (image_.is_corrupt()) co_return Outcome<Run>{io_error()};
  const std::error_code error = co_await find_end();
  if (error) co_return Outcome<Run>{error};
  const Outcome<Run> hole = co_await allocate_hole(clusters);
  if (hole.error || hole.value.clusters > 0) co_return hole;
  co_return co_await allocate_at_end(clusters);
}

Task<Outcome<Run>> Allocator::allocate(uint64_t clusters) {
  if (const std::optional<Run> now = allocate_now(clusters)) co_return Outcome<Run>{{}, *now};
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  co_return co_await allocate_locked(clusters);
}

Task<Outcome<Run>> Allocator::contiguous_locked(uint64_t clusters) {
  std::error_code error = co_await find_end();
  for (bool settled = false; !error && !settled;) {
    error = co_await skip_used();
    if (error) break;
    const uint64_t first = *end_;
    const uint64_t last_block = block_of(first + clusters - 1);
    for (uint64_t block = block_of(first); !error && block <= last_block; ++block)
      error = co_await ensure_block(block);
    settled = *end_ == first;
  }
  if (error) co_return Outcome<Run>{error};
  const uint64_t first = *end_;
  const uint64_t offset = first << cluster_bits_;
  error = co_await image_.file.reserve((first + clusters) << cluster_bits_, true);
  if (!error) error = co_await mark_used(first, clusters);
  if (error) co_return Outcome<Run>{error};
  const bool zeros = offset >= image_.file.untouched_from();
  image_.file.touched((first + clusters) << cluster_bits_);
  if (scan_ == first) scan_ = first + clusters;
  end_ = first + clusters;
  co_return Outcome<Run>{{}, Run{offset, clusters, zeros}};
}

Task<Outcome<Run>> Allocator::allocate_contiguous(uint64_t clusters) {
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  if (image_.is_corrupt()) co_return Outcome<Run>{io_error()};
  if (clusters >= kMaxHostOffset >> cluster_bits_) co_return Outcome<Run>{no_space()};
  co_return co_await contiguous_locked(clusters);
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

Task<std::error_code> Allocator::free_unused(uint64_t offset, uint64_t length) {
  co_return co_await add(offset, length, -1);
}

// A cluster that is packed further must lie behind the last piece, have a count left, and still
// be in use by it (add_locked forgets the place otherwise).
Task<Outcome<uint64_t>> Allocator::place_bytes(uint64_t bytes) {
  const uint64_t cluster = image_.geometry.cluster_size();
  const uint64_t used = image_.geometry.in_cluster(packed_);
  if (used != 0) {
    const Outcome<uint64_t> count = co_await refcount(packed_);
    if (count.error) co_return count;
    if (count.value == 0 || count.value == image_.geometry.refcount_max()) packed_ = 0;
  }
  const uint64_t room = packed_ != 0 && used != 0 ? cluster - used : 0;
  uint64_t at = packed_;
  if (bytes > room) {
    const Outcome<Run> run = co_await allocate_locked(1);
    if (run.error) co_return Outcome<uint64_t>{run.error};
    const bool follows = room > 0 && run.value.offset == packed_ + room;
    if (!follows) at = run.value.offset;
    if (!follows || room == 0) {
      packed_ = at + bytes;
      co_return Outcome<uint64_t>{{}, at};
    }
  }
  const std::error_code error = co_await add_locked(at, 1, +1);
  if (error) co_return Outcome<uint64_t>{error};
  packed_ = at + bytes;
  co_return Outcome<uint64_t>{{}, at};
}

Task<Outcome<uint64_t>> Allocator::allocate_bytes(uint64_t bytes) {
  const AsyncMutex::Guard guard = co_await mutex_.lock();
  const Busy busy(busy_);
  co_return co_await place_bytes(bytes);
}

void Allocator::free_later(uint64_t offset, uint64_t length) {
  waiting_clusters_ += div_up(length, image_.geometry.cluster_size());
  if (!freed_.empty() && freed_.back().offset + freed_.back().length == offset &&
      image_.geometry.in_cluster(offset | length | freed_.back().offset) == 0)
    freed_.back().length += length;
  else
    freed_.push_back({offset, length});
}

void Allocator::put_back(const std::vector<HostRange>& ranges) {
  freed_.insert(freed_.end(), ranges.begin(), ranges.end());
}

void Allocator::seal(uint64_t epoch, std::vector<HostRange> ranges) {
  if (!ranges.empty()) sealed_.push_back({epoch, std::move(ranges)});
}

// Of the ranges, the whole clusters that nobody else refers to.
Task<Outcome<std::vector<HostRange>>> Allocator::last_references(
    const std::vector<HostRange>& ranges) {
  using Result = Outcome<std::vector<HostRange>>;
  const uint64_t cluster = image_.geometry.cluster_size();
  std::vector<HostRange> last;
  for (const HostRange& range : ranges) {
    if (image_.geometry.in_cluster(range.offset | range.length) != 0) continue;  // compressed
    for (uint64_t at = range.offset; at < range.offset + range.length; at += cluster) {
      const Outcome<uint64_t> count = co_await refcount(at);
      if (count.error) co_return Result{count.error};
      if (count.value != 1 || image_.is_metadata(at, cluster)) continue;
      if (!last.empty() && last.back().offset + last.back().length == at)
        last.back().length += cluster;
      else
        last.push_back({at, cluster});
    }
  }
  co_return Result{{}, std::move(last)};
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
  std::vector<HostRange> ranges;
  while (!sealed_.empty() && sealed_.front().epoch < oldest_active) {
    const std::vector<HostRange>& batch = sealed_.front().ranges;
    ranges.insert(ranges.end(), batch.begin(), batch.end());
    sealed_.pop_front();
  }
  if (ranges.empty()) co_return std::error_code{};
  std::sort(ranges.begin(), ranges.end(),
            [](const HostRange& a, const HostRange& b) { return a.offset < b.offset; });
  if (image_.file.node().limits().can_discard) {
    // Nothing refers to these clusters any more and nobody may allocate them yet, so the mutex is
    // not needed for looking, nor while the host works.
    const Outcome<std::vector<HostRange>> last = co_await last_references(ranges);
    if (last.error) {
      sealed_.push_front({0, std::move(ranges)});
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
    waiting_clusters_ -= div_up(range.length, image_.geometry.cluster_size());
    error = co_await add_locked(range.offset, range.length, -1);  // a failed one stays as a leak
  }
  if (done == ranges.size()) co_return error;
  ranges.erase(ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(done));
  sealed_.push_front({0, std::move(ranges)});
  co_return error;
}

}  // namespace vireo::blk::qcow2
