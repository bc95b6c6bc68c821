#include "blockdev/format/qcow2/bitmap_store.h"

#include <algorithm>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

namespace {

// Of one step of record(), by all bitmaps together: at the finest granularity its marks fit into
// memory several times over.
constexpr uint64_t kRecordedAtOnce = uint64_t{1} << 34;

// However large clusters are: bitmaps that one image may well have.
constexpr size_t kLeastRecording = 64;

}  // namespace

Task<std::error_code> BitmapStore::load(bool record) {
  Outcome<BitmapDirectory> directory = co_await read_bitmaps(image_.file, image_.header);
  const BitmapDirectory& found = directory.value;
  const bool misplaced =
      record && found.length > 0 && image_.is_metadata(found.offset, found.length);
  if (directory.error || misplaced) {
    image_.host.log.warn("qcow2", fmt::format("the bitmap directory of image '{}' is damaged{}",
                                              image_.name, record ? "; its bitmaps end here" : ""));
    if (record) image_.header.autoclear &= ~kAutoclearBitmaps;
    co_return std::error_code{};
  }
  at_ = {found.offset, found.length, {}};
  size_ = image_.header.size;
  const uint64_t cluster = image_.geometry.cluster_size();
  const size_t most = std::max<size_t>(kMarksInMemory / cluster, kLeastRecording);
  size_t recording = 0;
  for (BitmapInfo& info : directory.value.bitmaps) {
    if (!info.foreign && info.table_entries != bitmap_clusters(size_, info.granularity, cluster))
      info.in_use = true;
    if (info.foreign && info.automatic && record)
      info.in_use = true;  // nobody keeps it from now on
    const bool records = record && info.automatic && !info.foreign && !info.in_use;
    if (records && ++recording > most) info.in_use = true;
    bitmaps_.push_back({.info = std::move(info), .held = false, .marks = {}});
    if (record) start_recording(bitmaps_.back());
  }
  if (recording > most)
    image_.host.log.warn(
        "qcow2", fmt::format("image '{}' has {} bitmaps that record, and no more than {} can; the "
                             "others end here",
                             image_.name, recording, most));
  note_recording();
  if (record && bitmaps_.empty()) image_.header.autoclear &= ~kAutoclearBitmaps;
  if (!record || std::none_of(bitmaps_.begin(), bitmaps_.end(),
                              [](const Bitmap& bitmap) { return bitmap.info.automatic; }))
    co_return std::error_code{};
  co_return co_await write_flags();
}

std::vector<BitmapInfo> BitmapStore::list() const {
  std::vector<BitmapInfo> list;
  for (const Bitmap& bitmap : bitmaps_) list.push_back(bitmap.info);
  return list;
}

void BitmapStore::start_recording(Bitmap& bitmap) {
  if (!bitmap.usable() || !bitmap.info.automatic) return;
  bitmap.held = true;
  bitmap.marks =
      std::make_unique<DirtyBits>(bitmap.info.granularity, image_.geometry.cluster_size());
}

void BitmapStore::note_recording() noexcept {
  const auto count = std::count_if(bitmaps_.begin(), bitmaps_.end(),
                                   [](const Bitmap& bitmap) { return bitmap.marks != nullptr; });
  recording_ = static_cast<size_t>(count);
}

BitmapStore::Bitmap* BitmapStore::find(const std::string& name) noexcept {
  for (Bitmap& bitmap : bitmaps_)
    if (bitmap.info.name == name) return &bitmap;
  return nullptr;
}

Outcome<BitmapStore::Bitmap*> BitmapStore::find_usable(const std::string& name) noexcept {
  Bitmap* const found = find(name);
  if (found == nullptr) return {std::make_error_code(std::errc::no_such_file_or_directory)};
  if (!found->usable()) return {std::make_error_code(std::errc::state_not_recoverable)};
  return {{}, found};
}

size_t BitmapStore::marks() const noexcept {
  size_t bytes = 0;
  for (const Bitmap& bitmap : bitmaps_)
    if (bitmap.marks) bytes += bitmap.marks->bytes();
  return bytes;
}

void BitmapStore::mark(uint64_t offset, uint64_t length) {
  if (recording_ == 0 || offset >= size_) return;
  for (Bitmap& bitmap : bitmaps_)
    if (bitmap.marks) bitmap.marks->mark(offset, std::min(length, size_ - offset));
}

Task<void> BitmapStore::record(uint64_t offset, uint64_t length) {
  while (recording_ > 0 && length > 0) {
    const uint64_t some = std::min(length, kRecordedAtOnce / recording_);
    mark(offset, some);
    if (heavy()) co_await store();
    offset += some;
    length -= some;
  }
}

void BitmapStore::give_up(Bitmap& bitmap, std::error_code error) {
  image_.host.log.warn("qcow2",
                       fmt::format("bitmap '{}' of image '{}' cannot be kept ({}); it must "
                                   "be removed and made anew",
                                   bitmap.info.name, image_.name, error.message()));
  bitmap.info.in_use = true;
  bitmap.marks.reset();
  note_recording();
}

Task<void> BitmapStore::store() {
  const AsyncMutex::Guard guard = co_await storing_.lock();
  for (size_t i = 0; i < bitmaps_.size(); ++i) {
    if (!bitmaps_[i].marks || bitmaps_[i].marks->bytes() == 0) continue;
    const std::error_code error = co_await store_bitmap(bitmaps_[i]);
    if (error) give_up(bitmaps_[i], error);
  }
}

// Its bits are on disk before the flag says that they mean something.
Task<void> BitmapStore::close() {
  const auto held = [](const Bitmap& bitmap) { return bitmap.held; };
  if (std::none_of(bitmaps_.begin(), bitmaps_.end(), held)) co_return;
  co_await store();
  std::error_code error = co_await tables_.settle();
  for (Bitmap& bitmap : bitmaps_) bitmap.held = false;
  if (!error) error = co_await write_flags();
  if (error)
    image_.host.log.warn("qcow2", fmt::format("the bitmaps of image '{}' cannot be completed: {}",
                                              image_.name, error.message()));
}

std::vector<BitmapInfo> BitmapStore::as_stored() const {
  std::vector<BitmapInfo> stored = list();
  for (size_t i = 0; i < stored.size(); ++i) stored[i].in_use |= bitmaps_[i].held;
  return stored;
}

// In place: a flag that reaches the disk early or not at all does no harm, since nothing else
// changes before or after.
Task<std::error_code> BitmapStore::write_flags() {
  const std::vector<std::byte> bytes = serialise_bitmaps(as_stored());
  Buffer buffer = Buffer::zeros(align_up(bytes.size(), image_.geometry.slice_size()));
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  std::error_code error = co_await image_.file.write(at_.offset, buffer);
  if (!error) error = co_await image_.file.flush();
  co_return error;
}

Task<Outcome<HostRange>> BitmapStore::write_directory() {
  const std::vector<std::byte> bytes = serialise_bitmaps(as_stored());
  if (bytes.empty()) co_return Outcome<HostRange>{};
  if (bytes.size() > kMaxSnapshotTableBytes)
    co_return Outcome<HostRange>{std::make_error_code(std::errc::file_too_large)};
  const uint64_t clusters = div_up(bytes.size(), image_.geometry.cluster_size());
  const Outcome<Run> run = co_await tables_.allocator.allocate_contiguous(clusters);
  if (run.error) co_return Outcome<HostRange>{run.error};
  Buffer buffer = Buffer::zeros(clusters << image_.geometry.cluster_bits);
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  const std::error_code error = co_await image_.file.write(run.value.offset, buffer);
  co_return Outcome<HostRange>{error, {run.value.offset, bytes.size()}};
}

// Before the header is written an error changes nothing; afterwards only leaks can follow.
Task<std::error_code> BitmapStore::publish() {
  const Outcome<HostRange> place = co_await write_directory();
  std::error_code error = place.error;
  if (!error) error = co_await tables_.settle();
  if (error) co_return error;
  const Header before = image_.header;
  BitmapDirectory now{place.value.offset, place.value.length, as_stored()};
  name_directory(image_.header, now);
  if (!make_fit(image_.header)) error = std::make_error_code(std::errc::file_too_large);
  if (!error) error = co_await image_.write_header();
  if (!error) error = co_await image_.file.flush();
  if (error) {
    image_.header = before;
    co_return error;
  }
  if (at_.length > 0) tables_.allocator.free_later(at_.offset, at_.length);
  at_ = {now.offset, now.length, {}};
  size_ = image_.header.size;
  co_return co_await tables_.settle();
}

bool BitmapStore::writable(uint64_t host) const noexcept {
  return image_.geometry.in_cluster(host) == 0 && image_.file.contains(host, 1) &&
         !image_.is_metadata(host, image_.geometry.cluster_size());
}

// Where the entry leads, or to a new cluster; gives the entry from now on.
Task<Outcome<uint64_t>> BitmapStore::write_part(uint64_t entry, DirtyBits::Part part) {
  uint64_t host = entry & kOffsetMask;
  if (host != 0 && !writable(host)) co_return Outcome<uint64_t>{io_error()};
  if (host == 0) {
    const Outcome<Run> run = co_await tables_.allocator.allocate(1);
    if (run.error) co_return Outcome<uint64_t>{run.error};
    host = run.value.offset;
  }
  Buffer bytes = Buffer::copy_of(part);
  const std::error_code error = co_await image_.file.write(host, bytes);
  co_return Outcome<uint64_t>{error, host};
}

Task<Outcome<BitmapStore::Table>> BitmapStore::with_parts(Table table, DirtyBits::Parts parts) {
  for (auto& [number, part] : parts) {
    if (number >= table.size()) continue;
    const uint64_t entry = table[number];
    Outcome<DirtyBits::Part> now = co_await read_bitmap_part(image_.file, image_.geometry, entry);
    if (now.error) co_return Outcome<Table>{now.error};
    DirtyBits::Part both = now.value;
    for (size_t i = 0; i < both.size(); ++i) both[i] |= part[i];
    if (both == now.value) continue;
    const Outcome<uint64_t> written = co_await write_part(entry, std::move(both));
    if (written.error) co_return Outcome<Table>{written.error};
    table[number] = written.value;
  }
  co_return Outcome<Table>{{}, std::move(table)};
}

// A table never leads to a cluster that is not counted: refcounts first.
Task<std::error_code> BitmapStore::store_bitmap(Bitmap& bitmap) {
  DirtyBits::Parts parts = bitmap.marks->take();
  const BitmapInfo info = bitmap.info;
  const Outcome<Table> old = co_await read_bitmap_table(image_.file, image_.geometry,
                                                        info.table_offset, info.table_entries);
  if (old.error) co_return old.error;
  Table before = old.value;
  Outcome<Table> now = co_await with_parts(std::move(before), std::move(parts));
  if (now.error || now.value == old.value) co_return now.error;
  std::error_code error = co_await tables_.flush();
  if (!error) error = co_await write_table(info.table_offset, std::move(now.value));
  co_return error;
}

Task<std::error_code> BitmapStore::write_table(uint64_t offset, Table table) {
  Buffer bytes = Buffer::zeros(align_up(table.size() * 8, image_.geometry.slice_size()));
  for (size_t i = 0; i < table.size(); ++i) store_be64(bytes.data() + i * 8, table[i]);
  for (uint64_t at = 0; at < bytes.size(); at += image_.geometry.cluster_size())
    if (!writable(offset + at)) co_return io_error();
  co_return co_await image_.file.write(offset, bytes);
}

Task<Outcome<std::unique_ptr<BitmapReader>>> BitmapStore::read(std::string name) {
  using Result = Outcome<std::unique_ptr<BitmapReader>>;
  co_await store();
  const Outcome<Bitmap*> found = find_usable(name);
  if (found.error) co_return Result{found.error, nullptr};
  co_return Result{{},
                   std::make_unique<BitmapReader>(image_.file, image_.geometry, found.value->info,
                                                  image_.header.size)};
}

}  // namespace vireo::blk::qcow2
