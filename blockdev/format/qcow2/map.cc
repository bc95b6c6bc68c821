#include "blockdev/format/qcow2/map.h"

#include <algorithm>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

Map::Map(Image& image, Allocator& allocator, uint64_t cache_bytes)
    : image_(image),
      allocator_(allocator),
      geometry_(image.geometry),
      slice_entries_(image.geometry.slice_size() / image.geometry.l2_entry_size()),
      cache_(image.file, {DebugEvent::l2_load, DebugEvent::l2_update}, image.geometry.slice_size(),
             cache_bytes),
      l1_part_(std::max<uint64_t>(512, image.file.node().limits().block) / 8) {}

Task<std::error_code> Map::load() {
  if (image_.header.l1_entries == 0) co_return std::error_code{};
  const uint64_t length = align_up(uint64_t{image_.header.l1_entries} * 8, l1_part_ * 8);
  Buffer bytes(length);
  const std::error_code error = co_await image_.file.read(image_.header.l1_offset, bytes);
  if (error) co_return error;
  l1_.resize(image_.header.l1_entries);
  for (size_t i = 0; i < l1_.size(); ++i) l1_[i] = load_be64(bytes.data() + i * 8);
  note_tables();
  co_return std::error_code{};
}

// Which clusters may not be written to as data.
void Map::note_tables() {
  if (image_.read_only) return;
  std::vector<uint64_t> clusters;
  for (const uint64_t entry : l1_)
    if ((entry & kOffsetMask) != 0)
      clusters.push_back((entry & kOffsetMask) >> geometry_.cluster_bits);
  image_.l2_tables.assign(std::move(clusters));
}

uint64_t Map::table_offset(uint64_t l1_index) const noexcept {
  return l1_index < l1_.size() ? l1_[l1_index] & kOffsetMask : 0;
}

bool Map::bad_table(uint64_t table) const noexcept {
  return geometry_.in_cluster(table) != 0 || image_.is_fixed(table, geometry_.cluster_size()) ||
         !image_.file.contains(table, 1);
}

// Something else is there too. Reading such a table is harmless, writing it is not.
bool Map::shared_place(uint64_t table) const noexcept {
  const uint64_t cluster = table >> geometry_.cluster_bits;
  return image_.l2_tables.count(cluster) > 1 || image_.refcount_blocks.any(cluster, cluster + 1) ||
         image_.snapshot_l1s.overlaps(table, geometry_.cluster_size());
}

// The table exists.
uint64_t Map::slice_offset(uint64_t guest) const noexcept {
  return table_offset(geometry_.l1_index(guest)) +
         geometry_.l2_index(guest) / slice_entries_ * geometry_.slice_size();
}

uint64_t Map::slice_end(uint64_t guest) const noexcept {
  const uint64_t coverage = slice_entries_ << geometry_.cluster_bits;
  return align_down(guest, coverage) + coverage;
}

L2Entry Map::entry(const SliceCache::Slice& slice, uint64_t index) const noexcept {
  const std::byte* at = slice.view().data() + index * geometry_.l2_entry_size();
  return {load_be64(at), geometry_.extended_l2 ? load_be64(at + 8) : 0};
}

void Map::store(std::span<std::byte> slice, uint64_t index, const L2Entry& entry) const noexcept {
  std::byte* at = slice.data() + index * geometry_.l2_entry_size();
  store_be64(at, entry.descriptor);
  if (geometry_.extended_l2) store_be64(at + 8, entry.bitmap);
}

bool Map::continues(const Mapping& run, const L2Entry& next, uint32_t subcluster,
                    uint64_t host) const noexcept {
  if (next.kind(geometry_, subcluster) != run.kind) return false;
  if (run.kind == Kind::compressed || run.kind == Kind::invalid) return false;
  if (run.kind != Kind::data) return true;
  return host == run.host + run.length && (next.copied() || geometry_.data_file) == run.in_place;
}

Mapping Map::run_of(const SliceCache::Slice& slice, uint64_t guest,
                    uint64_t length) const noexcept {
  const uint64_t granule = geometry_.granule();
  uint64_t index = geometry_.l2_index(guest) % slice_entries_;
  uint64_t in_cluster = geometry_.in_cluster(guest);
  L2Entry now = entry(slice, index);
  Mapping run{.kind = now.kind(geometry_, static_cast<uint32_t>(in_cluster / granule))};
  if (run.kind == Kind::data) {
    run.host = now.host() + in_cluster;
    run.in_place = now.copied() || geometry_.data_file;
    if (geometry_.data_file && run.host != guest) run.kind = Kind::invalid;
  }
  if (run.kind == Kind::compressed) {
    run.descriptor = now.descriptor;
    run.length = std::min(length, geometry_.cluster_size() - in_cluster);
    return run;
  }
  run.length = granule - in_cluster % granule;
  for (in_cluster = in_cluster - in_cluster % granule + granule; run.length < length;
       in_cluster += granule) {
    if (in_cluster == geometry_.cluster_size()) {
      if (++index == slice_entries_) break;
      now = entry(slice, index);
      in_cluster = 0;
    }
    if (!continues(run, now, static_cast<uint32_t>(in_cluster / granule), now.host() + in_cluster))
      break;
    run.length += granule;
  }
  run.length = std::min(run.length, length);
  return run;
}

std::optional<Mapping> Map::find(uint64_t guest, uint64_t length) noexcept {
  const uint64_t table = table_offset(geometry_.l1_index(guest));
  if (table == 0) {
    const uint64_t coverage = geometry_.l2_coverage();
    return Mapping{.length = std::min(length, coverage - guest % coverage)};
  }
  SliceCache::Slice* slice = cache_.find(slice_offset(guest));
  if (slice == nullptr) {
    if (!bad_table(table)) return std::nullopt;
    return Mapping{.kind = Kind::invalid, .length = 1};
  }
  return run_of(*slice, guest, length);
}

Task<Outcome<Mapping>> Map::lookup(uint64_t guest, uint64_t length) {
  for (;;) {
    if (const std::optional<Mapping> found = find(guest, length)) {
      if (found->kind != Kind::invalid) co_return Outcome<Mapping>{{}, *found};
      std::string why = fmt::format("the L2 entry of guest offset {:#x} is impossible", guest);
      const std::error_code error = co_await image_.corrupt(std::move(why));
      co_return Outcome<Mapping>{error};
    }
    const Outcome<SliceCache::Slice*> slice = co_await slice_at(slice_offset(guest));
    if (slice.error) co_return Outcome<Mapping>{slice.error};
  }
}

Task<Outcome<SliceCache::Slice*>> Map::slice_at(uint64_t offset) {
  for (;;) {
    if (SliceCache::Slice* found = cache_.find(offset))
      co_return Outcome<SliceCache::Slice*>{{}, found};
    std::error_code error;
    if (!cache_.make_room()) error = co_await flush_();
    if (!error) error = co_await cache_.fetch(offset);
    if (error) co_return Outcome<SliceCache::Slice*>{error};
  }
}

Task<Outcome<EntryRange>> Map::entries(uint64_t first_cluster, uint64_t count) {
  const uint64_t guest = first_cluster << geometry_.cluster_bits;
  const uint64_t in_slice = slice_entries_ - first_cluster % slice_entries_;
  EntryRange range{first_cluster, std::vector<L2Entry>(std::min(count, in_slice))};
  const uint64_t table = table_offset(geometry_.l1_index(guest));
  if (table == 0) co_return Outcome<EntryRange>{{}, std::move(range)};
  if (bad_table(table)) {
    std::string why = fmt::format("an L2 table lies at {:#x}", table);
    const std::error_code error = co_await image_.corrupt(std::move(why));
    co_return Outcome<EntryRange>{error};
  }
  const Outcome<SliceCache::Slice*> slice = co_await slice_at(slice_offset(guest));
  if (slice.error) co_return Outcome<EntryRange>{slice.error};
  for (size_t i = 0; i < range.entries.size(); ++i)
    range.entries[i] = entry(*slice.value, first_cluster % slice_entries_ + i);
  co_return Outcome<EntryRange>{{}, std::move(range)};
}

// As far as the entries of one slice go.
Task<Outcome<Layout>> Map::layout(uint64_t guest, uint64_t length) {
  const uint64_t cluster = geometry_.cluster_size(), granule = geometry_.granule();
  const uint64_t start = align_down(guest, granule);
  const uint64_t first = guest >> geometry_.cluster_bits;
  const uint64_t count = div_up(geometry_.in_cluster(guest) + length, cluster);
  Outcome<EntryRange> range = co_await entries(first, count);
  if (range.error) co_return Outcome<Layout>{range.error};
  const uint64_t end = (first + range.value.entries.size()) * cluster;
  Layout run{};
  for (uint64_t at = start; at < end; at += granule) {
    const L2Entry& entry = range.value.entries[(at >> geometry_.cluster_bits) - first];
    const auto subcluster = static_cast<uint32_t>(geometry_.in_cluster(at) / granule);
    Layout next{.kind = entry.kind(geometry_, subcluster)};
    next.zero = next.kind == Kind::zero;
    if (next.kind == Kind::invalid) co_return Outcome<Layout>{io_error()};
    if (entry.has_host(geometry_)) next.host = entry.host() + geometry_.in_cluster(at);
    if (at == start) run = next;
    const bool in_a_row = run.host ? next.host == *run.host + (at - start) : !next.host;
    if (next.kind != run.kind || !in_a_row) break;
    run.length = at + granule - guest;
  }
  run.length = std::min(run.length, length);
  if (run.host) *run.host += guest - start;
  co_return Outcome<Layout>{{}, run};
}

void Map::set_l1_entry(uint64_t index, uint64_t entry) {
  if (const uint64_t old = l1_[index] & kOffsetMask; old != 0)
    image_.l2_tables.erase(old >> geometry_.cluster_bits);
  if (const uint64_t table = entry & kOffsetMask; table != 0)
    image_.l2_tables.insert(table >> geometry_.cluster_bits);
  l1_[index] = entry;
  dirty_l1_.insert(index / l1_part_);
}

void Map::replace_l1(std::vector<uint64_t> entries) {
  l1_ = std::move(entries);
  dirty_l1_.clear();
  note_tables();
}

Task<std::error_code> Map::prepare_table(uint64_t guest) {
  const uint64_t index = geometry_.l1_index(guest);
  if (index < l1_.size() && (l1_[index] & kCopied)) {
    const uint64_t own = l1_[index] & kOffsetMask;
    if (!bad_table(own) && !shared_place(own)) co_return std::error_code{};
  }
  const AsyncMutex::Guard guard = co_await tables_.lock();
  VMM_CHECK(index < l1_.size(), "the L1 table covers the disk");
  const uint64_t table = l1_[index] & kOffsetMask;
  const bool own = (l1_[index] & kCopied) != 0;
  if (table != 0 && (bad_table(table) || (own && shared_place(table)))) {
    std::string why = fmt::format("an L2 table lies at {:#x}", table);
    co_return co_await image_.corrupt(std::move(why));
  }
  if (own) co_return std::error_code{};  // somebody was faster
  const std::error_code error = co_await new_table(index);
  if (!error && table == 0 && cache_.make_room()) cache_.insert_zeros(slice_offset(guest));
  co_return error;
}

Task<std::error_code> Map::new_table(uint64_t l1_index) {
  const Outcome<Run> run = co_await allocator_.allocate(1);
  if (run.error) co_return run.error;
  const uint64_t table = run.value.offset;
  cache_.forget(table, geometry_.cluster_size());
  const uint64_t old = l1_[l1_index] & kOffsetMask;
  std::error_code error;
  if (old != 0) {
    error = co_await copy_table(old, table);
  } else if (!run.value.zeros) {
    Buffer zeros = Buffer::zeros(geometry_.cluster_size());
    error = co_await image_.file.write(table, zeros);
  }
  if (error) {
    [[maybe_unused]] const std::error_code leak =
        co_await allocator_.free_unused(table, geometry_.cluster_size());
    co_return error;
  }
  set_l1_entry(l1_index, table | kCopied);
  if (old != 0) allocator_.free_later(old, geometry_.cluster_size());
  co_return std::error_code{};
}

// A table that is shared with a snapshot is never dirty, so the disk has its latest content.
Task<std::error_code> Map::copy_table(uint64_t from, uint64_t to) {
  Buffer bytes(geometry_.cluster_size());
  std::error_code error = co_await image_.file.read(from, bytes);
  if (!error) error = co_await image_.file.write(to, bytes);
  co_return error;
}

void Map::free_entry(const L2Entry& old, const L2Entry& now) {
  if (old.compressed()) {
    if (now == old) return;
    const CompressedRange range = decode_compressed(old.descriptor, geometry_.cluster_bits);
    if (range.offset < kMaxHostOffset) allocator_.free_later(range.offset, range.length);
    return;
  }
  if (geometry_.data_file || old.host() == 0 || geometry_.in_cluster(old.host()) != 0) return;
  if (!now.compressed() && now.host() == old.host()) return;
  allocator_.free_later(old.host(), geometry_.cluster_size());
}

Task<std::error_code> Map::replace(EntryRange range) {
  const uint64_t guest = range.first_cluster << geometry_.cluster_bits;
  const Outcome<SliceCache::Slice*> slice = co_await slice_at(slice_offset(guest));
  if (slice.error) co_return slice.error;
  const std::span<std::byte> bytes = cache_.edit(*slice.value);
  for (size_t i = 0; i < range.entries.size(); ++i) {
    const uint64_t index = range.first_cluster % slice_entries_ + i;
    const L2Entry old = entry(*slice.value, index);
    store(bytes, index, range.entries[i]);
    free_entry(old, range.entries[i]);
  }
  co_return std::error_code{};
}

Map::Captured Map::capture() {
  Captured captured{cache_.capture(), std::exchange(dirty_l1_, {}), {}};
  for (const uint64_t part : captured.l1_parts) {
    for (uint64_t i = part * l1_part_; i < (part + 1) * l1_part_; ++i)
      captured.l1_entries.push_back(i < l1_.size() ? l1_[i] : 0);
  }
  return captured;
}

Task<std::error_code> Map::write_slices(Captured& captured) {
  std::vector<SliceCache::Captured> slices = std::exchange(captured.slices, {});
  co_return co_await cache_.write(std::move(slices));
}

Task<std::error_code> Map::write_l1(Captured& captured) {
  std::error_code error;
  size_t next = 0;
  for (const uint64_t part : captured.l1_parts) {
    Buffer bytes(l1_part_ * 8);
    for (uint64_t i = 0; i < l1_part_; ++i)
      store_be64(bytes.data() + i * 8, captured.l1_entries[next++]);
    if (Debugger* const debugger = image_.file.debugger())
      co_await debugger->at(DebugEvent::l1_update);
    if (!error)
      error = co_await image_.file.write(image_.header.l1_offset + part * l1_part_ * 8, bytes);
  }
  if (error) dirty_l1_.merge(captured.l1_parts);
  captured.l1_parts.clear();
  co_return error;
}

void Map::put_back(Captured& captured) {
  cache_.put_back(std::exchange(captured.slices, {}));
  dirty_l1_.merge(captured.l1_parts);
}

}  // namespace vireo::blk::qcow2
