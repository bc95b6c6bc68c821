#include "blockdev/format/qcow2_check.h"

#include <algorithm>
#include <map>

#include <fmt/core.h>

#include "blockdev/format/qcow2_bitmaps.h"

namespace vireo::blk::qcow2 {

namespace {

constexpr uint64_t kMaxComplaints = 100;  // in the log; all are counted

std::error_code too_scattered() noexcept {
  return std::make_error_code(std::errc::file_too_large);
}

}  // namespace

Checker::Checker(Image& image, Tables& tables, Snapshots& snapshots)
    : image_(image), tables_(tables), snapshots_(snapshots), geometry_(image.geometry) {}

void Checker::complain(bool fixed, std::string what) {
  if (++complaints_ > kMaxComplaints) return;
  image_.host.log.warn(
      "qcow2", fmt::format("{} {}: {}", fixed ? "repairing" : "found in", image_.name, what));
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
  total_ = active_.size() + 2 * l2_tables_.size();  // entries, windows, counts of one window
  if (!error) error = co_await check_entries();
  if (error) co_return error;
  check_blocks();
  if (repair_ == Repair::all && rebuild_) {
    error = co_await rebuild();
    if (error) co_return error;
  }
  error = co_await compare_windows();
  if (!error && rebuild_ && repair_ == Repair::all) {  // it was found only now
    error = co_await rebuild();
  }
  if (!error) error = co_await check_copied();
  if (error || repair_ == Repair::none) co_return error;
  error = co_await tables_.settle();
  if (error || repair_ != Repair::all || !result_.clean()) co_return error;
  image_.clear_corrupt();
  image_.header.incompatible &= ~(kIncompatibleDirty | kIncompatibleCorrupt);
  error = co_await image_.write_fields();
  if (!error) error = co_await image_.file.flush();
  co_return error;
}

// Which L2 tables there are. Tables that several L1 tables share are listed, and later read, once.
Task<std::error_code> Checker::collect_tables() {
  std::vector<uint64_t> l1 = tables_.map.l1();
  std::error_code error = co_await collect_l1(std::move(l1), 1, true);
  if (error) co_return error;
  Tree tree(image_, tables_);
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> areas;
  for (const SnapshotInfo& info : snapshots_.list()) ++areas[{info.l1_offset, info.l1_entries}];
  for (const auto& area : areas) {
    const uint64_t offset = area.first.first, entries = area.first.second;
    for (uint64_t i = 0; i < area.second; ++i) l1_areas_.push_back({offset, entries * 8});
    l1_total_ += entries * 8;
    if (l1_total_ > kMaxL1Total) co_return too_scattered();
    if (geometry_.in_cluster(offset) != 0 || entries * 8 > kMaxL1Bytes ||
        !image_.file.contains(offset, entries * 8)) {
      ++result_.corruptions;
      complain(false, fmt::format("a snapshot's L1 table lies at {:#x}", offset));
      l1_areas_.resize(l1_areas_.size() - area.second);
      continue;
    }
    Outcome<std::vector<uint64_t>> table = co_await tree.read_l1(offset, entries);
    error = table.error;
    if (!error) error = co_await collect_l1(std::move(table.value), area.second, false);
    if (error) co_return error;
  }
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
  co_return std::error_code{};
}

Task<std::error_code> Checker::collect_l1(std::vector<uint64_t> l1, uint64_t references,
                                          bool active) {
  for (size_t i = 0; i < l1.size(); ++i) {
    const uint64_t table = l1[i] & kOffsetMask;
    if (table == 0) continue;
    if (!tables_.map.bad_table(table)) {
      l2_tables_.push_back({table, references});
      if (active) active_.push_back(table);
      continue;
    }
    ++result_.corruptions;
    const bool fix = active && repair_ == Repair::all;
    complain(fix, fmt::format("L1 entry {} leads to {:#x}", i, table));
    if (!fix) continue;
    tables_.map.set_l1_entry(i, 0);
    ++result_.corruptions_fixed;
  }
  if (repair_ == Repair::all && active && !image_.is_corrupt()) co_return co_await tables_.settle();
  co_return std::error_code{};
}

// An entry that no image has, or that leads beyond the end of the file by a whole cluster.
bool Checker::entry_is_bad(const L2Entry& entry) const noexcept {
  if (entry.compressed()) {
    if (geometry_.data_file) return true;
    return decode_compressed(entry.descriptor, geometry_.cluster_bits).offset >= image_.file.size();
  }
  if (geometry_.in_cluster(entry.host()) != 0) return true;
  if (!geometry_.extended_l2 && entry.kind(geometry_, 0) == Kind::invalid) return true;
  if (geometry_.extended_l2 && (entry.allocated_bits() & entry.zero_bits()) != 0) return true;
  if (geometry_.extended_l2 && entry.allocated_bits() != 0 && !entry.has_host(geometry_))
    return true;
  return !geometry_.data_file && entry.host() >= image_.file.size();
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
  std::error_code error;
  for (size_t i = 0; i < active_.size() && !error; ++i) {
    error = co_await check_table(active_[i]);
    if (!error) error = step();
  }
  if (!error && repair_ == Repair::all) error = co_await tables_.settle();
  co_return error;
}

Task<std::error_code> Checker::check_table(uint64_t table) {
  Buffer bytes(geometry_.cluster_size());
  const std::error_code error = co_await image_.file.read(table, bytes);
  if (error) co_return error;
  std::vector<uint64_t> bad;
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    const std::byte* at = bytes.data() + i * geometry_.l2_entry_size();
    const L2Entry entry{load_be64(at), geometry_.extended_l2 ? load_be64(at + 8) : 0};
    if (!entry_is_bad(entry)) {
      note_entry(entry);
      continue;
    }
    ++result_.corruptions;
    bad.push_back(i);
    complain(repair_ == Repair::all,
             fmt::format("L2 entry {} of the table at {:#x} is {:#018x}, which leads nowhere", i,
                         table, entry.descriptor));
  }
  if (repair_ != Repair::all || bad.empty()) co_return std::error_code{};
  result_.corruptions_fixed += bad.size();
  co_return co_await fix_entries(table, std::move(bad));
}

// What such an entry once meant is lost; it reads as zeros from now on (version 2: as the backing
// image).
Task<std::error_code> Checker::fix_entries(uint64_t table, std::vector<uint64_t> bad) {
  const uint64_t per_slice = tables_.map.slice_entries();
  for (const uint64_t index : bad) {
    const Outcome<SliceCache::Slice*> slice =
        co_await tables_.map.slice_at(table + index / per_slice * geometry_.slice_size());
    if (slice.error) co_return slice.error;
    L2Entry entry;
    if (geometry_.extended_l2) entry.bitmap = kAllSubclusters << 32;
    if (!geometry_.extended_l2 && geometry_.zero_flag) entry.descriptor = kZeroFlag;
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
  for (const BitmapInfo& bitmap : directory.value.bitmaps) {
    const uint64_t length = uint64_t{bitmap.table_entries} * 8;
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

Task<std::error_code> Checker::count(Counts& counts, bool with_refcounts) {
  const Header& header = image_.header;
  add(counts, 0, geometry_.cluster_size(), 1);
  add(counts, header.l1_offset, uint64_t{header.l1_entries} * 8, 1);
  add(counts, header.snapshots_offset, image_.snapshot_table_bytes, 1);
  for (const L1Area& area : l1_areas_) add(counts, area.offset, area.length, 1);
  if (with_refcounts) {
    add(counts, header.refcount_table_offset,
        uint64_t{header.refcount_table_clusters} << geometry_.cluster_bits, 1);
    for (const uint64_t block : tables_.allocator.table())
      if (block != 0 && !block_is_bad(block)) add(counts, block, geometry_.cluster_size(), 1);
  }
  std::error_code error = co_await count_bitmaps(counts);
  for (size_t i = 0; i < l2_tables_.size() && !error; ++i) {
    error = co_await count_table(counts, l2_tables_[i]);
    if (!error) error = step();
  }
  co_return error;
}

bool Checker::block_is_bad(uint64_t block) const noexcept {
  return geometry_.in_cluster(block) != 0 || block >= kMaxHostOffset ||
         !image_.file.contains(block, 1) || image_.is_fixed(block, geometry_.cluster_size()) ||
         image_.l2_tables.any(block >> geometry_.cluster_bits,
                              (block >> geometry_.cluster_bits) + 1);
}

void Checker::check_blocks() {
  const std::vector<uint64_t>& table = tables_.allocator.table();
  for (size_t i = 0; i < table.size(); ++i) {
    if (table[i] == 0 || !block_is_bad(table[i])) continue;
    ++result_.corruptions;
    rebuild_ = true;
    complain(repair_ == Repair::all, fmt::format("refcount block {} lies at {:#x}", i, table[i]));
  }
  std::vector<uint64_t> sorted;
  for (const uint64_t block : table)
    if (block != 0) sorted.push_back(block);
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end()) return;
  ++result_.corruptions;
  rebuild_ = true;
  complain(repair_ == Repair::all, "two refcount table entries lead to the same block");
}

Task<std::error_code> Checker::compare_windows() {
  std::set<uint64_t> windows;
  Counts noted{.windows = &windows};
  std::error_code error = co_await count(noted, true);
  if (error) co_return error;
  const uint64_t per_block = geometry_.refcount_block_entries();
  const std::vector<uint64_t>& table = tables_.allocator.table();
  for (uint64_t block = 0; block < table.size(); ++block)
    if (table[block] != 0) windows.insert(block * per_block / kWindowClusters);
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
  std::error_code error = co_await count(counts, true);
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
  const bool missing = !tables_.allocator.has_block(cluster);
  const bool fix = repair_ == Repair::all || (leak && repair_ == Repair::leaks);
  ++(leak ? result_.leaks : result_.corruptions);
  complain(fix,
           fmt::format("cluster {} is counted {} times and used {} times", cluster, stored, found));
  if (!fix) co_return std::error_code{};
  if (found > geometry_.refcount_max()) co_return std::make_error_code(std::errc::value_too_large);
  ++(leak ? result_.leaks_fixed : result_.corruptions_fixed);
  if (missing || rebuild_) {
    rebuild_ = true;
    co_return std::error_code{};
  }
  co_return co_await tables_.allocator.set(cluster, found);
}

Task<std::error_code> Checker::check_copied() {
  const bool usable = result_.corruptions == result_.corruptions_fixed;
  const bool fix = repair_ == Repair::all && usable;
  if (image_.is_corrupt() && !fix) co_return std::error_code{};
  if (rebuild_ && repair_ != Repair::all) co_return std::error_code{};
  Tree tree(image_, tables_);
  const Outcome<uint64_t> wrong = co_await tree.check_copied(fix);
  if (wrong.error) co_return wrong.error;
  result_.corruptions += wrong.value;
  if (fix) result_.corruptions_fixed += wrong.value;
  if (wrong.value > 0) complain(fix, fmt::format("{} COPIED flags are wrong", wrong.value));
  co_return std::error_code{};
}

}  // namespace vireo::blk::qcow2
