#include "blockdev/format/qcow2/allocator.h"

#include <algorithm>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

namespace {

constexpr int kSlicesPerScan = 4;    // looked through for holes by one allocation
constexpr int kSlicesForEnd = 4096;  // looked through for the last cluster in use

std::error_code no_space() noexcept {
  return std::make_error_code(std::errc::no_space_on_device);
}

}  // namespace

Allocator::Allocator(Image& image, uint64_t cache_bytes)
    : image_(image),
      cluster_bits_(image.geometry.cluster_bits),
      cache_(image.file, {DebugEvent::refblock_load, DebugEvent::refblock_update},
             image.geometry.slice_size(), cache_bytes),
      freed_(image.geometry.cluster_size()) {
  set_width();
}

bool Allocator::forbidden(uint64_t cluster, uint64_t clusters) const noexcept {
  return image_.is_metadata(cluster << cluster_bits_, clusters << cluster_bits_);
}

std::optional<uint64_t> Allocator::used_end() const noexcept {
  if (!end_) return std::nullopt;
  return *end_ << cluster_bits_;
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

}  // namespace vireo::blk::qcow2
