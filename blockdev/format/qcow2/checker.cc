#include "blockdev/format/qcow2/checker.h"

#include <algorithm>
#include <map>

#include <fmt/core.h>

#include "blockdev/format/qcow2/bitmap_directory.h"

namespace vireo::blk::qcow2 {

namespace {

constexpr size_t kMaxUnknownExtra = 1024 - 16;  // of a snapshot table entry, as QEMU takes it

std::error_code too_scattered() noexcept {
  return std::make_error_code(std::errc::file_too_large);
}

}  // namespace

Checker::Checker(Image& image, Tables& tables, Snapshots& snapshots)
    : image_(image), tables_(tables), snapshots_(snapshots), geometry_(image.geometry) {}

void Checker::complain(bool fixed, const std::string& what) {
  image_.host.log.warn(
      "qcow2", fmt::format("{} {}: {}", fixed ? "repairing" : "found in", image_.name, what));
}

// Found, and left as it is: a repair would give data up.
void Checker::keep(const std::string& what) {
  ++result_.corruptions;
  ++kept_;
  complain(false, what);
}

// One more table was read.
std::error_code Checker::step() {
  done_ = std::min(done_ + 1, total_);
  if (!progress_ || progress_(done_, total_)) return {};
  return std::make_error_code(std::errc::operation_canceled);
}

Task<CheckResult> Checker::run(Repair repair, ProgressFunction progress) {
  repair_ = repair;
  progress_ = std::move(progress);
  std::error_code error;
  if (image_.read_only)
    error = co_await tables_.allocator.load();
  else if (!image_.is_corrupt())
    error = co_await tables_.settle();
  if (!error) error = co_await check_all();
  if (error) {
    ++result_.errors;
    complain(false, fmt::format("the check could not be finished: {}", error.message()));
  }
  co_return result_;
}

Task<std::error_code> Checker::check_all() {
  result_.total_clusters = div_up(image_.header.size, geometry_.cluster_size());
  std::error_code error = co_await collect_tables();
  total_ = 3 * l2_tables_.size();  // entries, windows, counts of one window
  check_snapshots();
  if (!error) error = co_await check_entries();
  if (!error) error = co_await note_uses();
  if (error) co_return error;
  check_blocks();
  const bool may_rebuild = repair_ == Repair::all && !unread_;
  if (rebuild_ && may_rebuild) {
    error = co_await rebuild();
    if (!error) error = co_await note_uses();
  }
  if (!error) error = co_await compare_windows();
  if (!error && rebuild_ && may_rebuild) error = co_await rebuild();  // it was found only now
  if (!error) error = co_await check_copied();
  if (error || repair_ == Repair::none) co_return error;
  error = co_await tables_.settle();
  if (!error && repair_ == Repair::all) error = co_await complete();
  co_return error;
}

// The counts are right: what else a sound image has to have.
Task<std::error_code> Checker::complete() {
  if (result_.corruptions != result_.corruptions_fixed + incomplete_) co_return std::error_code{};
  image_.clear_corrupt();
  std::error_code error;
  if (incomplete_ > 0) error = co_await snapshots_.rewrite();
  if (error) co_return error;
  result_.corruptions_fixed += std::exchange(incomplete_, 0);
  image_.header.incompatible &= ~(kIncompatibleDirty | kIncompatibleCorrupt);
  error = co_await image_.write_fields();
  if (!error) error = co_await image_.file.flush();
  co_return error;
}

// "Snapshots": version 3 demands the fields that version 2 leaves out.
void Checker::check_snapshots() {
  size_t index = 0;
  for (const SnapshotInfo& info : snapshots_.list()) {
    if (image_.header.version >= 3 && !info.complete) {
      ++incomplete_;
      ++result_.corruptions;
      complain(repair_ == Repair::all, fmt::format("snapshot table entry {} is incomplete", index));
    }
    if (info.unknown.size() > kMaxUnknownExtra)
      keep(fmt::format("snapshot table entry {} has {} unknown bytes", index, info.unknown.size()));
    ++index;
  }
}

// Which L2 tables there are. Tables that several L1 entries share are listed, and later read, once.
Task<std::error_code> Checker::collect_tables() {
  const std::vector<uint64_t> l1 = tables_.map.l1();
  collect_l1(l1, 1, true);
  const std::error_code error = co_await collect_snapshots();
  merge_tables();
  co_return error;
}

// Tables of different snapshots do not overlap, so all together fit into the file.
Task<std::error_code> Checker::collect_snapshots() {
  Tree tree(image_, tables_);
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> areas;
  for (const SnapshotInfo& info : snapshots_.list()) ++areas[{info.l1_offset, info.l1_entries}];
  for (const auto& area : areas) {
    const uint64_t offset = area.first.first, entries = area.first.second;
    const bool possible = geometry_.in_cluster(offset) == 0 && entries * 8 <= kMaxL1Bytes &&
                          image_.file.contains(offset, entries * 8) &&
                          l1_total_ + entries * 8 <= image_.file.size();
    if (!possible) {
      keep(fmt::format("a snapshot's L1 table of {} entries lies at {:#x}", entries, offset));
      unread_ = true;
      continue;
    }
    for (uint64_t i = 0; i < area.second; ++i) l1_areas_.push_back({offset, entries * 8});
    l1_total_ += entries * 8;
    if (l1_total_ > kMaxL1Total) co_return too_scattered();
    const Outcome<std::vector<uint64_t>> table = co_await tree.read_l1(offset, entries);
    if (table.error) co_return table.error;
    collect_l1(table.value, area.second, false);
  }
  co_return std::error_code{};
}

void Checker::collect_l1(const std::vector<uint64_t>& l1, uint64_t references, bool active) {
  for (size_t i = 0; i < l1.size(); ++i) {
    if ((l1[i] & kL1Reserved) != 0)
      keep(fmt::format("L1 entry {} is {:#018x}, with reserved bits set", i, l1[i]));
    const uint64_t table = l1[i] & kOffsetMask;
    if (table == 0) {
      if ((l1[i] & kCopied) != 0)
        keep(fmt::format("L1 entry {} is {:#018x}, a flag without a table", i, l1[i]));
      continue;
    }
    if (tables_.map.bad_table(table)) {
      keep(fmt::format("L1 entry {} leads to {:#x}, where no table can be", i, table));
      unread_ = true;
      continue;
    }
    l2_tables_.push_back({table, references});
    if (active) active_.push_back(table);
  }
}

void Checker::merge_tables() {
  std::sort(l2_tables_.begin(), l2_tables_.end(),
            [](const Table& a, const Table& b) { return a.offset < b.offset; });
  size_t kept = 0;
  for (size_t i = 0; i < l2_tables_.size(); ++i) {
    if (kept > 0 && l2_tables_[kept - 1].offset == l2_tables_[i].offset)
      l2_tables_[kept - 1].references += l2_tables_[i].references;
    else
      l2_tables_[kept++] = l2_tables_[i];
  }
  l2_tables_.resize(kept);
}

// An entry that no image has, or that leads beyond the end of the file by a whole cluster.
bool Checker::entry_is_bad(const L2Entry& entry) const noexcept {
  if (entry.compressed()) {
    if (geometry_.data_file || entry.bitmap != 0) return true;
    return decode_compressed(entry.descriptor, geometry_.cluster_bits).offset >= image_.file.size();
  }
  if (geometry_.in_cluster(entry.host()) != 0) return true;
  if (!geometry_.extended_l2 && entry.kind(geometry_, 0) == Kind::invalid) return true;
  if (geometry_.extended_l2 && (entry.allocated_bits() & entry.zero_bits()) != 0) return true;
  if (geometry_.extended_l2 && entry.allocated_bits() != 0 && !entry.has_host(geometry_))
    return true;
  return !geometry_.data_file && entry.host() >= image_.file.size();
}

std::string Checker::where(const L2Entry& entry) const {
  if (entry.compressed() || geometry_.in_cluster(entry.host()) != 0 ||
      image_.file.contains(entry.host(), 1))
    return "nowhere";
  return fmt::format("beyond the end of the file: to {:#x} bytes at {:#x}",
                     geometry_.cluster_size(), entry.host());
}

// It reads as zeros, or shows the backing image, wherever its host cluster is.
bool Checker::holds_nothing(const L2Entry& entry) const noexcept {
  if (entry.compressed()) return false;
  if (geometry_.extended_l2) return entry.allocated_bits() == 0;
  return geometry_.zero_flag && (entry.descriptor & kZeroFlag) != 0;
}

// Statistics of the active image.
void Checker::note_entry(const L2Entry& entry) {
  if (!entry.compressed() && !entry.has_host(geometry_)) return;
  ++result_.allocated_clusters;
  if (entry.compressed()) {
    ++result_.compressed_clusters;
    ++result_.fragmented_clusters;  // as qemu-img counts them
    return;
  }
  if (last_host_ != 0 && last_host_ != entry.host()) ++result_.fragmented_clusters;
  last_host_ = entry.host() + geometry_.cluster_size();
}

Task<std::error_code> Checker::check_entries() {
  std::unordered_set<uint64_t> seen;
  std::error_code error;
  for (size_t i = 0; i < active_.size() && !error; ++i) {
    if (!seen.insert(active_[i]).second) continue;
    error = co_await check_table(active_[i], true);
    if (!error) error = step();
  }
  for (size_t i = 0; i < l2_tables_.size() && !error; ++i) {
    if (seen.contains(l2_tables_[i].offset)) continue;
    error = co_await check_table(l2_tables_[i].offset, false);
    if (!error) error = step();
  }
  if (!error && repair_ == Repair::all) error = co_await tables_.settle();
  co_return error;
}

Task<std::error_code> Checker::check_table(uint64_t table, bool active) {
  Buffer bytes(geometry_.cluster_size());
  const std::error_code error = co_await image_.file.read(table, bytes);
  if (error) co_return error;
  std::vector<uint64_t> empty;
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    const std::byte* at = bytes.data() + i * geometry_.l2_entry_size();
    const L2Entry entry{load_be64(at), geometry_.extended_l2 ? load_be64(at + 8) : 0};
    if (!entry.compressed() && (entry.descriptor & kL2Reserved) != 0)
      keep(fmt::format("L2 entry {} of the table at {:#x} is {:#018x}, with reserved bits set", i,
                       table, entry.descriptor));
    if (!entry_is_bad(entry)) {
      if (active) note_entry(entry);
      continue;
    }
    const std::string what = fmt::format("L2 entry {} of the table at {:#x}, {:#018x}, leads {}", i,
                                         table, entry.descriptor, where(entry));
    if (!holds_nothing(entry)) {
      keep(what);
      continue;
    }
    ++result_.corruptions;
    empty.push_back(i);
    complain(repair_ == Repair::all, what);
  }
  if (repair_ != Repair::all || empty.empty()) co_return std::error_code{};
  result_.corruptions_fixed += empty.size();
  co_return co_await fix_entries(table, std::move(empty));
}

// The entries hold nothing: they go on without their host clusters.
Task<std::error_code> Checker::fix_entries(uint64_t table, std::vector<uint64_t> empty) {
  const uint64_t per_slice = tables_.map.slice_entries();
  for (const uint64_t index : empty) {
    const Outcome<SliceCache::Slice*> slice =
        co_await tables_.map.slice_at(table + index / per_slice * geometry_.slice_size());
    if (slice.error) co_return slice.error;
    L2Entry entry = tables_.map.entry(*slice.value, index % per_slice);
    entry.descriptor = geometry_.extended_l2 ? 0 : kZeroFlag;
    tables_.map.store(tables_.map.edit(*slice.value), index % per_slice, entry);
  }
  co_return std::error_code{};
}

void Checker::add(Counts& counts, uint64_t offset, uint64_t length, uint64_t references) {
  if (length == 0) return;
  const uint64_t first = offset >> geometry_.cluster_bits;
  const uint64_t last = (offset + length - 1) >> geometry_.cluster_bits;
  if (counts.windows != nullptr) {
    counts.windows->insert(first / kWindowClusters);
    counts.windows->insert(last / kWindowClusters);
  }
  if (counts.blocks != nullptr) {
    for (uint64_t b = first / geometry_.refcount_block_entries();
         b <= last / geometry_.refcount_block_entries(); ++b)
      counts.blocks->insert(b);
  }
  if (counts.refcount_blocks != nullptr) {
    for (uint64_t c = first; c <= last; ++c)
      if (counts.refcount_blocks->contains(c << geometry_.cluster_bits))
        shared_blocks_.insert(c << geometry_.cluster_bits);
  }
  result_.image_end_offset =
      std::max(result_.image_end_offset, (last + 1) << geometry_.cluster_bits);
  for (uint64_t c = std::max(first, counts.first);
       c <= last && c - counts.first < counts.counts.size(); ++c) {
    uint32_t& count = counts.counts[c - counts.first];
    count = static_cast<uint32_t>(std::min<uint64_t>(count + references, ~uint32_t{0}));
  }
}

Task<std::error_code> Checker::count_table(Counts& counts, Table table) {
  Buffer bytes(geometry_.cluster_size());
  const std::error_code error = co_await image_.file.read(table.offset, bytes);
  if (error) co_return error;
  add(counts, table.offset, bytes.size(), table.references);
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    const L2Entry entry{load_be64(bytes.data() + i * geometry_.l2_entry_size()), 0};
    if (entry.compressed()) {
      const CompressedRange range = decode_compressed(entry.descriptor, geometry_.cluster_bits);
      if (range.offset < image_.file.size())
        add(counts, range.offset, range.length, table.references);
    } else if (!geometry_.data_file && entry.host() != 0 && entry.host() < image_.file.size()) {
      add(counts, entry.host(), geometry_.cluster_size(), table.references);
    }
    if (counts.windows != nullptr && counts.windows->size() > kMaxWindows)
      co_return too_scattered();
  }
  co_return std::error_code{};
}

// "Bitmaps": the directory, the tables and the clusters, if the bitmaps are valid at all. Others
// are leaks, as they are for qemu-img.
Task<std::error_code> Checker::count_bitmaps(Counts& counts) {
  Outcome<BitmapDirectory> directory = co_await read_bitmaps(image_.file, image_.header);
  if (directory.error) co_return directory.error;
  add(counts, directory.value.offset, directory.value.length, 1);
  uint64_t total = 0;
  for (const BitmapInfo& bitmap : directory.value.bitmaps) {
    const uint64_t length = uint64_t{bitmap.table_entries} * 8;
    total += length;
    if (total > image_.file.size()) co_return too_scattered();  // tables do not overlap
    add(counts, bitmap.table_offset, length, 1);
    Buffer table(align_up(std::max<uint64_t>(length, 1), Buffer::kAlignment));
    const std::error_code error = co_await image_.file.read(bitmap.table_offset, table);
    if (error) co_return error;
    for (uint64_t i = 0; i < bitmap.table_entries; ++i) {
      const uint64_t host = load_be64(table.data() + i * 8) & kOffsetMask;
      if (host != 0 && host < image_.file.size()) add(counts, host, geometry_.cluster_size(), 1);
    }
  }
  co_return std::error_code{};
}

void Checker::count_refcounts(Counts& counts) {
  add(counts, image_.header.refcount_table_offset, image_.refcount_table_bytes(), 1);
  for (const uint64_t block : blocks_) add(counts, block, geometry_.cluster_size(), 1);
}

Task<std::error_code> Checker::count(Counts& counts, bool with_refcounts) {
  const Header& header = image_.header;
  add(counts, 0, geometry_.cluster_size(), 1);
  add(counts, header.l1_offset, uint64_t{header.l1_entries} * 8, 1);
  add(counts, header.snapshots_offset, image_.snapshot_table_bytes, 1);
  for (const L1Area& area : l1_areas_) add(counts, area.offset, area.length, 1);
  if (with_refcounts) count_refcounts(counts);
  std::error_code error = co_await count_bitmaps(counts);
  for (size_t i = 0; i < l2_tables_.size() && !error; ++i) {
    error = co_await count_table(counts, l2_tables_[i]);
    if (!error) error = step();
  }
  co_return error;
}

bool Checker::block_is_bad(uint64_t block) const noexcept {
  return geometry_.in_cluster(block) != 0 || block >= kMaxHostOffset ||
         shared_blocks_.contains(block) || !image_.file.contains(block, 1) ||
         image_.is_fixed(block, geometry_.cluster_size()) ||
         image_.l2_tables.any(block >> geometry_.cluster_bits,
                              (block >> geometry_.cluster_bits) + 1);
}

void Checker::check_blocks() {
  const std::vector<uint64_t>& table = tables_.allocator.table();
  std::unordered_set<uint64_t> seen;
  for (const uint64_t block : table)
    if (block != 0 && !seen.insert(block).second) shared_blocks_.insert(block);
  uint64_t bad = tables_.allocator.odd_entries();
  if (image_.refcount_table_bytes() == 0) {
    ++bad;
    complain(repair_ == Repair::all, "its refcount table lies beyond the end of the file");
  }
  if (bad > 0) complain(repair_ == Repair::all, "refcount table entries have reserved bits set");
  for (size_t i = 0; i < table.size(); ++i) {
    if (table[i] == 0 || !block_is_bad(table[i])) continue;
    ++bad;
    complain(repair_ == Repair::all, fmt::format("refcount block {} lies at {:#x}", i, table[i]));
  }
  result_.corruptions += bad;
  rebuild_ = bad > 0;
  note_blocks();
}

void Checker::note_blocks() {
  blocks_.clear();
  for (const uint64_t block : tables_.allocator.table())
    if (block != 0 && !block_is_bad(block)) blocks_.push_back(block);
}

// Where anything lies, and which refcount blocks lie where something else does: a count that is
// written there would destroy it.
Task<std::error_code> Checker::note_uses() {
  windows_.clear();
  std::unordered_set<uint64_t> blocks;
  for (const uint64_t block : tables_.allocator.table())
    if (block != 0) blocks.insert(block);
  Counts noted{.windows = &windows_, .refcount_blocks = &blocks};
  co_return co_await count(noted, false);
}

Task<std::error_code> Checker::compare_windows() {
  std::set<uint64_t> windows = windows_;
  Counts own{.windows = &windows};
  count_refcounts(own);
  std::error_code error;
  const uint64_t per_block = geometry_.refcount_block_entries();
  const std::vector<uint64_t>& table = tables_.allocator.table();
  for (uint64_t block = 0; block < table.size(); ++block)
    if (table[block] != 0 && !block_is_bad(table[block]))
      windows.insert(block * per_block / kWindowClusters);
  if (windows.size() > kMaxWindows) co_return too_scattered();
  if (windows.size() > 1) total_ += (windows.size() - 1) * l2_tables_.size();
  for (auto at = windows.begin(); at != windows.end() && !error; ++at)
    error = co_await compare_window(*at);
  co_return error;
}

Task<std::error_code> Checker::compare_window(uint64_t window) {
  const uint64_t in_file = div_up(image_.file.size(), geometry_.cluster_size()) + 1;
  const uint64_t first = window * kWindowClusters;
  Counts counts{.first = first};
  // Nothing is referred to behind the end of the file; compressed clusters may touch the next one.
  counts.counts.resize(first < in_file ? std::min(kWindowClusters, in_file - first) : 0);
  std::error_code error;
  if (!counts.counts.empty()) error = co_await count(counts, true);
  const uint64_t per_block = geometry_.refcount_block_entries();
  const uint64_t blocks = kWindowClusters / per_block;
  for (uint64_t b = window * blocks; b < (window + 1) * blocks && !error; ++b)
    error = co_await compare_block(b, counts);
  if (!error && repair_ != Repair::none) error = co_await tables_.settle();
  co_return error;
}

Task<std::error_code> Checker::compare_block(uint64_t block, const Counts& counts) {
  const std::vector<uint64_t>& table = tables_.allocator.table();
  const uint64_t per_block = geometry_.refcount_block_entries();
  const uint64_t first = block * per_block;
  const bool there = block < table.size() && table[block] != 0 && !block_is_bad(table[block]);
  if (!there && first - counts.first >= counts.counts.size()) co_return std::error_code{};
  Buffer bytes = Buffer::zeros(geometry_.cluster_size());
  std::error_code error;
  if (there) error = co_await image_.file.read(table[block], bytes);
  for (uint64_t i = 0; i < per_block && !error; ++i) {
    const uint64_t at = first + i - counts.first;
    const uint64_t found = at < counts.counts.size() ? counts.counts[at] : 0;
    const uint64_t stored =
        there ? get_refcount(std::as_const(bytes).bytes(), i, geometry_.refcount_order) : 0;
    if (stored != found) error = co_await compare_cluster(first + i, stored, found);
  }
  co_return error;
}

Task<std::error_code> Checker::compare_cluster(uint64_t cluster, uint64_t stored, uint64_t found) {
  const bool leak = stored > found;
  if (leak) {
    const uint64_t end = (cluster + 1) << geometry_.cluster_bits;
    result_.image_end_offset = std::max(result_.image_end_offset, end);
  }
  const bool unplaced = rebuild_ || !tables_.allocator.has_block(cluster);  // needs a rebuild
  bool fix = leak ? repair_ != Repair::none && !unread_ : repair_ == Repair::all;
  if (unplaced) fix = repair_ == Repair::all && !unread_;
  ++(leak ? result_.leaks : result_.corruptions);
  complain(fix,
           fmt::format("cluster {} is counted {} times and used {} times", cluster, stored, found));
  if (!fix) {
    counts_right_ = counts_right_ && leak;
    co_return std::error_code{};
  }
  if (found > geometry_.refcount_max()) co_return Refusal::too_many_references;
  ++(leak ? result_.leaks_fixed : result_.corruptions_fixed);
  rebuild_ = rebuild_ || unplaced;
  if (unplaced) co_return std::error_code{};
  co_return co_await tables_.allocator.set(cluster, found);
}

// Flags follow the counts, also those that only a leak was taken from.
Task<std::error_code> Checker::check_copied() {
  if (rebuild_) co_return std::error_code{};
  const bool fix =
      repair_ == Repair::all ? counts_right_ : repair_ == Repair::leaks && result_.corruptions == 0;
  if (image_.is_corrupt() && !fix) co_return std::error_code{};
  Tree tree(image_, tables_);
  const auto tell = [this, fix](const std::string& what) { complain(fix, what); };
  const Outcome<uint64_t> wrong = co_await tree.check_copied(fix, tell);
  if (wrong.error) co_return wrong.error;
  result_.corruptions += wrong.value;
  if (fix) result_.corruptions_fixed += wrong.value;
  co_return std::error_code{};
}

}  // namespace vireo::blk::qcow2
