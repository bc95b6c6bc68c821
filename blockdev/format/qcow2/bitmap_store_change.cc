// Making, removing and changing bitmaps, and fitting them to another size of the disk.
#include <algorithm>
#include <bit>

#include "blockdev/format/qcow2/bitmap_store.h"

namespace vireo::blk::qcow2 {

namespace {

bool too_large(uint64_t size, uint64_t granularity) noexcept {
  return div_up(div_up(size, granularity), 8) > kMaxBitmapBytes;
}

}  // namespace

std::error_code BitmapStore::check_new(const std::string& name, uint64_t granularity) noexcept {
  const uint64_t size = image_.header.size;
  if (find(name) != nullptr) return std::make_error_code(std::errc::file_exists);
  if (name.empty() || name.size() > kMaxBitmapName || !std::has_single_bit(granularity) ||
      granularity >> kMinGranularityBits == 0 || granularity >> kMaxGranularityBits > 1)
    return std::make_error_code(std::errc::invalid_argument);
  if (image_.header.version < 3 || size == 0) return std::make_error_code(std::errc::not_supported);
  if (bitmaps_.size() >= kMaxBitmaps || too_large(size, granularity))
    return std::make_error_code(std::errc::file_too_large);
  return {};
}

Task<Outcome<uint64_t>> BitmapStore::new_table(Table table) {
  const uint64_t clusters = div_up(table.size() * 8, image_.geometry.cluster_size());
  const Outcome<Run> run = co_await tables_.allocator.allocate_contiguous(clusters);
  if (run.error) co_return Outcome<uint64_t>{run.error};
  const uint64_t offset = run.value.offset;
  const std::error_code error = co_await write_table(offset, std::move(table));
  co_return Outcome<uint64_t>{error, offset};
}

Task<std::error_code> BitmapStore::add(std::string name, uint64_t granularity) {
  const std::error_code wrong = check_new(name, granularity);
  if (wrong) co_return wrong;
  const uint64_t entries =
      bitmap_clusters(image_.header.size, granularity, image_.geometry.cluster_size());
  Table empty(entries);
  const Outcome<uint64_t> table = co_await new_table(std::move(empty));
  if (table.error) co_return table.error;
  size_ = image_.header.size;
  bitmaps_.push_back({.info = {.name = std::move(name),
                               .automatic = true,
                               .granularity = granularity,
                               .table_offset = table.value,
                               .table_entries = static_cast<uint32_t>(entries)},
                      .held = false,
                      .marks = {}});
  start_recording(bitmaps_.back());
  const std::error_code error = co_await publish();
  if (error) bitmaps_.pop_back();
  note_recording();
  co_return error;
}

void BitmapStore::free_parts(const Table& table, size_t from) {
  const uint64_t cluster = image_.geometry.cluster_size();
  for (size_t i = from; i < table.size(); ++i) {
    const uint64_t host = table[i] & kOffsetMask;
    if (host != 0 && writable(host)) tables_.allocator.free_later(host, cluster);
  }
}

void BitmapStore::free_table(const BitmapInfo& info) {
  const uint64_t cluster = image_.geometry.cluster_size();
  const uint64_t end = info.table_offset + uint64_t{info.table_entries} * 8;
  for (uint64_t at = info.table_offset; at < end; at += cluster)
    if (writable(at)) tables_.allocator.free_later(at, cluster);
}

// What cannot be read of a bitmap that nothing leads to any more stays as a leak.
Task<std::error_code> BitmapStore::free_bitmap(BitmapInfo info) {
  const Outcome<Table> table = co_await read_bitmap_table(image_.file, image_.geometry,
                                                          info.table_offset, info.table_entries);
  if (!table.error) free_parts(table.value, 0);
  free_table(info);
  co_return co_await tables_.settle();
}

Task<std::error_code> BitmapStore::remove(std::string name) {
  Bitmap* const found = find(name);
  if (found == nullptr) co_return std::make_error_code(std::errc::no_such_file_or_directory);
  const ptrdiff_t at = found - bitmaps_.data();
  Bitmap removed = std::move(*found);
  bitmaps_.erase(bitmaps_.begin() + at);
  const std::error_code error = co_await publish();
  if (error) bitmaps_.insert(bitmaps_.begin() + at, std::move(removed));
  note_recording();
  if (error || removed.info.foreign)
    co_return error;  // only its maker knows what a foreign one owns
  co_return co_await free_bitmap(std::move(removed.info));
}

Task<std::error_code> BitmapStore::clear(std::string name) {
  const Outcome<Bitmap*> found = find_usable(name);
  if (found.error) co_return found.error;
  Bitmap& bitmap = *found.value;
  BitmapInfo old = bitmap.info;
  Table empty(old.table_entries);
  const Outcome<uint64_t> table = co_await new_table(std::move(empty));
  if (table.error) co_return table.error;
  bitmap.info.table_offset = table.value;
  const std::error_code error = co_await publish();
  if (error) {
    bitmap.info = std::move(old);
    co_return error;
  }
  if (bitmap.marks) bitmap.marks->take();
  co_return co_await free_bitmap(std::move(old));
}

Task<std::error_code> BitmapStore::enable(std::string name, bool enabled) {
  const Outcome<Bitmap*> found = find_usable(name);
  if (found.error || found.value->info.automatic == enabled) co_return found.error;
  co_await store();
  Bitmap& bitmap = *found.value;
  if (!bitmap.usable()) co_return std::make_error_code(std::errc::state_not_recoverable);
  std::error_code error = co_await tables_.settle();
  if (error) co_return error;
  bitmap.info.automatic = enabled;
  bitmap.held = false;
  bitmap.marks.reset();
  start_recording(bitmap);
  note_recording();
  co_return co_await write_flags();
}

Task<std::error_code> BitmapStore::merge_ranges(Bitmap& bitmap, BitmapReader& source) {
  for (;;) {
    const Outcome<HostRange> range = co_await source.next();
    if (range.error || range.value.length == 0) co_return range.error;
    bitmap.marks->mark(range.value.offset, range.value.length);
    if (bitmap.marks->bytes() <= kMarksInMemory) continue;
    const std::error_code error = co_await store_bitmap(bitmap);
    if (error) co_return error;
  }
}

// A crash in between leaves a bitmap that is in use; an error, one that calls more dirty than it
// has to.
Task<std::error_code> BitmapStore::merge(std::string name, BitmapReader& source) {
  const Outcome<Bitmap*> found = find_usable(name);
  if (found.error) co_return found.error;
  if (source.disk_size() != size_) co_return std::make_error_code(std::errc::invalid_argument);
  Bitmap& bitmap = *found.value;
  const bool recorded = bitmap.marks != nullptr;
  bitmap.held = true;
  if (!recorded)
    bitmap.marks =
        std::make_unique<DirtyBits>(bitmap.info.granularity, image_.geometry.cluster_size());
  std::error_code error = co_await write_flags();
  if (!error) error = co_await merge_ranges(bitmap, source);
  if (!error) error = co_await store_bitmap(bitmap);
  if (!error) error = co_await tables_.settle();
  bitmap.held = recorded;
  if (!recorded) bitmap.marks.reset();
  if (!error) error = co_await write_flags();
  co_return error;
}

Task<std::error_code> BitmapStore::before_resize() {
  if (bitmaps_.empty()) co_return std::error_code{};
  co_await store();
  for (Bitmap& bitmap : bitmaps_) bitmap.held = bitmap.usable();
  co_return co_await write_flags();
}

Task<std::error_code> BitmapStore::after_resize() {
  if (bitmaps_.empty()) co_return std::error_code{};
  const bool changed = size_ != image_.header.size;
  std::vector<Retired> retired;
  for (size_t i = 0; i < bitmaps_.size() && changed; ++i) {
    if (!bitmaps_[i].usable()) continue;
    Outcome<Retired> old = co_await fit(bitmaps_[i]);
    if (old.error) give_up(bitmaps_[i], old.error);
    if (!old.error) retired.push_back(std::move(old.value));
  }
  for (Bitmap& bitmap : bitmaps_) bitmap.held = bitmap.marks != nullptr;
  if (!changed) co_return co_await write_flags();
  const std::error_code error = co_await publish();
  if (error) co_return error;
  for (const Retired& old : retired) {
    free_parts(old.table, old.kept);
    free_table(old.info);
  }
  co_return co_await tables_.settle();
}

// Bits from `bits` on are no longer, or not yet, of the disk.
Task<Outcome<uint64_t>> BitmapStore::cut_part(uint64_t entry, uint64_t bits) {
  if (entry == 0) co_return Outcome<uint64_t>{};
  Outcome<DirtyBits::Part> part = co_await read_bitmap_part(image_.file, image_.geometry, entry);
  if (part.error) co_return Outcome<uint64_t>{part.error};
  set_bits(part.value, bits, part.value.size() * 8, false);
  co_return co_await write_part(entry, std::move(part.value));
}

// Makes the table that the new size needs; gives what the directory names until it is published.
Task<Outcome<BitmapStore::Retired>> BitmapStore::fit(Bitmap& bitmap) {
  BitmapInfo& info = bitmap.info;
  const uint64_t cluster = image_.geometry.cluster_size(), size = image_.header.size;
  if (too_large(size, info.granularity))
    co_return Outcome<Retired>{std::make_error_code(std::errc::file_too_large)};
  Outcome<Table> old = co_await read_bitmap_table(image_.file, image_.geometry, info.table_offset,
                                                  info.table_entries);
  if (old.error) co_return Outcome<Retired>{old.error};
  Table table = old.value;
  table.resize(bitmap_clusters(size, info.granularity, cluster));
  const uint64_t kept = div_up(std::min(size_, size), info.granularity);
  const uint64_t last = kept / (cluster * 8), bits = kept % (cluster * 8);
  if (last < table.size() && bits != 0) {
    const Outcome<uint64_t> entry = co_await cut_part(table[last], bits);
    if (entry.error) co_return Outcome<Retired>{entry.error};
    table[last] = entry.value;
  }
  Retired retired{info, std::move(old.value), table.size()};
  const Outcome<uint64_t> offset = co_await new_table(std::move(table));
  if (offset.error) co_return Outcome<Retired>{offset.error};
  info.table_offset = offset.value;
  info.table_entries = static_cast<uint32_t>(retired.kept);
  co_return Outcome<Retired>{{}, std::move(retired)};
}

}  // namespace vireo::blk::qcow2
