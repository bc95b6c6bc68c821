#include "blockdev/format/qcow2/tree.h"

#include <algorithm>
#include <unordered_set>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

uint64_t Tree::slices_in_table() const noexcept {
  return image_.geometry.cluster_size() / image_.geometry.slice_size();
}

uint64_t Tree::slice_offset(uint64_t table, uint64_t slice) const noexcept {
  return table + slice * image_.geometry.slice_size();
}

Task<Outcome<std::vector<uint64_t>>> Tree::read_l1(uint64_t offset, uint64_t entries) {
  using Result = Outcome<std::vector<uint64_t>>;
  if (image_.geometry.in_cluster(offset) != 0 || entries * 8 > kMaxL1Bytes ||
      !image_.file.contains(offset, entries * 8)) {
    std::string why = fmt::format("an L1 table of {} entries lies at {:#x}", entries, offset);
    const std::error_code error = co_await image_.corrupt(std::move(why));
    co_return Result{error};
  }
  if (entries == 0) co_return Result{};
  Buffer bytes(align_up(entries * 8, image_.geometry.slice_size()));
  const std::error_code error = co_await image_.file.read(offset, bytes);
  if (error) co_return Result{error};
  std::vector<uint64_t> l1(entries);
  for (size_t i = 0; i < l1.size(); ++i) l1[i] = load_be64(bytes.data() + i * 8);
  co_return Result{{}, std::move(l1)};
}

Task<Outcome<uint64_t>> Tree::write_l1(std::vector<uint64_t> entries) {
  if (entries.empty()) co_return Outcome<uint64_t>{};
  Buffer bytes = Buffer::zeros(align_up(entries.size() * 8, image_.geometry.cluster_size()));
  for (size_t i = 0; i < entries.size(); ++i) store_be64(bytes.data() + i * 8, entries[i]);
  const Outcome<Run> run =
      co_await tables_.allocator.allocate_contiguous(bytes.size() >> image_.geometry.cluster_bits);
  if (run.error) co_return Outcome<uint64_t>{run.error};
  const std::error_code error = co_await image_.file.write(run.value.offset, bytes);
  if (error) {
    [[maybe_unused]] const std::error_code leak =
        co_await tables_.allocator.free_unused(run.value.offset, bytes.size());
  }
  co_return Outcome<uint64_t>{error, run.value.offset};
}

Task<Outcome<std::vector<L2Entry>>> Tree::read_slice(uint64_t table, uint64_t slice) {
  using Result = Outcome<std::vector<L2Entry>>;
  if (tables_.map.bad_table(table)) {
    std::string why = fmt::format("an L2 table lies at {:#x}", table);
    const std::error_code error = co_await image_.corrupt(std::move(why));
    co_return Result{error};
  }
  const Outcome<SliceCache::Slice*> found =
      co_await tables_.map.slice_at(slice_offset(table, slice));
  if (found.error) co_return Result{found.error};
  std::vector<L2Entry> entries(tables_.map.slice_entries());
  for (size_t i = 0; i < entries.size(); ++i) entries[i] = tables_.map.entry(*found.value, i);
  co_return Result{{}, std::move(entries)};
}

// The host clusters that a slice refers to, neighbours together. External data is not counted.
Task<Outcome<Tree::Ranges>> Tree::references(uint64_t table, uint64_t slice) {
  const Outcome<std::vector<L2Entry>> entries = co_await read_slice(table, slice);
  if (entries.error) co_return Outcome<Ranges>{entries.error};
  const uint64_t cluster = image_.geometry.cluster_size();
  Ranges ranges;
  for (const L2Entry& entry : entries.value) {
    if (entry.compressed()) {
      const CompressedRange range =
          decode_compressed(entry.descriptor, image_.geometry.cluster_bits);
      ranges.push_back({range.offset, range.length});
      continue;
    }
    if (image_.geometry.data_file || entry.host() == 0) continue;
    const bool follows = !ranges.empty() && image_.geometry.in_cluster(ranges.back().length) == 0 &&
                         ranges.back().offset + ranges.back().length == entry.host();
    if (follows)
      ranges.back().length += cluster;
    else
      ranges.push_back({entry.host(), cluster});
  }
  co_return Outcome<Ranges>{{}, std::move(ranges)};
}

Task<std::error_code> Tree::change_range(HostRange range, int delta) {
  Allocator& allocator = tables_.allocator;
  if (delta > 0) co_return co_await allocator.add(range.offset, range.length, delta);
  if (allocator.in_shadow()) co_return co_await allocator.drop(range.offset, range.length);
  tables_.allocator.free_later(range.offset, range.length);
  co_return std::error_code{};
}

Task<std::error_code> Tree::change_table(uint64_t table, int delta) {
  std::error_code error;
  for (uint64_t slice = 0; slice < slices_in_table() && !error; ++slice) {
    const Outcome<Ranges> ranges = co_await references(table, slice);
    error = ranges.error;
    for (size_t i = 0; i < ranges.value.size() && !error; ++i)
      error = co_await change_range(ranges.value[i], delta);
  }
  if (error) co_return error;
  const HostRange range{table, image_.geometry.cluster_size()};
  co_return co_await change_range(range, delta);
}

Task<std::error_code> Tree::add_references(std::vector<uint64_t> l1) {
  std::error_code error;
  for (size_t i = 0; i < l1.size() && !error; ++i) {
    const uint64_t table = l1[i] & kOffsetMask;
    if (table != 0) error = co_await change_table(table, +1);
  }
  co_return error;
}

Task<std::error_code> Tree::drop_references(std::vector<uint64_t> l1) {
  std::error_code error;
  for (size_t i = 0; i < l1.size() && !error; ++i) {
    const uint64_t table = l1[i] & kOffsetMask;
    if (table == 0) continue;
    error = co_await change_table(table, -1);
    if (!error && tables_.many_waiting()) error = co_await tables_.settle();
  }
  co_return error;
}

// "Cluster mapping": the flag is set when the count is one. Clusters of an external data file are
// not counted: each is used once.
Task<Outcome<std::vector<Tree::WrongFlag>>> Tree::wrong_flags(uint64_t table, uint64_t slice) {
  using Result = Outcome<std::vector<WrongFlag>>;
  const Outcome<std::vector<L2Entry>> entries = co_await read_slice(table, slice);
  if (entries.error) co_return Result{entries.error};
  std::vector<WrongFlag> wrong;
  for (size_t i = 0; i < entries.value.size(); ++i) {
    const L2Entry& entry = entries.value[i];
    if (!entry.compressed() && entry.host() == 0) continue;
    const uint64_t host = entry.host();
    Outcome<uint64_t> count{{}, 1};
    if (entry.compressed())
      count.value = 0;  // never flagged, however often it is used
    else if (!image_.geometry.data_file)
      count = co_await tables_.allocator.refcount(host);
    if (count.error) co_return Result{count.error};
    if ((count.value == 1) != entry.copied()) wrong.push_back({i, entry.descriptor, count.value});
  }
  co_return Result{{}, std::move(wrong)};
}

Task<std::error_code> Tree::turn_flags(uint64_t table, uint64_t slice,
                                       std::vector<WrongFlag> wrong) {
  const Outcome<SliceCache::Slice*> found =
      co_await tables_.map.slice_at(slice_offset(table, slice));
  if (found.error) co_return found.error;
  const std::span<std::byte> bytes = tables_.map.edit(*found.value);
  for (const WrongFlag& flag : wrong) {
    L2Entry entry = tables_.map.entry(*found.value, flag.index);
    entry.descriptor ^= kCopied;
    tables_.map.store(bytes, flag.index, entry);
  }
  co_return std::error_code{};
}

// A copy of a table in which the flags of some entries are turned.
Task<Outcome<uint64_t>> Tree::rewritten(uint64_t table, std::vector<size_t> wrong) {
  Buffer bytes(image_.geometry.cluster_size());
  std::error_code error = co_await image_.file.read(table, bytes);
  if (error) co_return Outcome<uint64_t>{error};
  for (const size_t i : wrong) {
    std::byte* at = bytes.data() + i * image_.geometry.l2_entry_size();
    store_be64(at, load_be64(at) ^ kCopied);
  }
  const Outcome<Run> run = co_await tables_.allocator.allocate(1);
  if (run.error) co_return Outcome<uint64_t>{run.error};
  error = co_await image_.file.write(run.value.offset, bytes);
  if (!error) error = co_await tables_.allocator.drop(table, bytes.size());
  co_return Outcome<uint64_t>{error, run.value.offset};
}

Task<Outcome<uint64_t>> Tree::true_table(uint64_t table) {
  std::vector<size_t> all;
  for (uint64_t slice = 0; slice < slices_in_table(); ++slice) {
    const Outcome<std::vector<WrongFlag>> wrong = co_await wrong_flags(table, slice);
    if (wrong.error) co_return Outcome<uint64_t>{wrong.error};
    for (const WrongFlag& flag : wrong.value)
      all.push_back(slice * tables_.map.slice_entries() + flag.index);
  }
  if (all.empty()) co_return Outcome<uint64_t>{{}, table};
  co_return co_await rewritten(table, std::move(all));
}

Task<Outcome<std::vector<uint64_t>>> Tree::with_true_flags(std::vector<uint64_t> l1) {
  using Result = Outcome<std::vector<uint64_t>>;
  for (uint64_t& entry : l1) {
    const uint64_t table = entry & kOffsetMask;
    if (table == 0) continue;
    const Outcome<uint64_t> now = co_await true_table(table);
    if (now.error) co_return Result{now.error};
    const Outcome<uint64_t> count = co_await tables_.allocator.refcount(now.value);
    if (count.error) co_return Result{count.error};
    entry = now.value | (count.value == 1 ? kCopied : 0);
  }
  co_return Result{{}, std::move(l1)};
}

Task<Outcome<uint64_t>> Tree::check_copied(bool fix, Report report) {
  uint64_t wrong = 0;
  std::unordered_set<uint64_t> seen;  // two entries may lead to one table
  const size_t entries = tables_.map.l1().size();
  for (size_t i = 0; i < entries; ++i) {
    const uint64_t entry = tables_.map.l1()[i];
    const uint64_t table = entry & kOffsetMask;
    if (table == 0 || tables_.map.bad_table(table)) continue;
    const Outcome<uint64_t> count = co_await tables_.allocator.refcount(table);
    if (count.error) co_return count;
    if ((count.value == 1) != ((entry & kCopied) != 0)) {
      ++wrong;
      report(fmt::format("the COPIED flag of L1 entry {}, {:#x}, is wrong for a count of {}", i,
                         entry, count.value));
      if (fix) tables_.map.set_l1_entry(i, entry ^ kCopied);
    }
    if (!seen.insert(table).second) continue;
    const Outcome<uint64_t> some = co_await check_table(table, fix, report);
    if (some.error) co_return some;
    wrong += some.value;
  }
  co_return Outcome<uint64_t>{{}, wrong};
}

Task<Outcome<uint64_t>> Tree::check_table(uint64_t table, bool fix, Report report) {
  uint64_t wrong = 0;
  for (uint64_t slice = 0; slice < slices_in_table(); ++slice) {
    Outcome<std::vector<WrongFlag>> some = co_await wrong_flags(table, slice);
    if (some.error) co_return Outcome<uint64_t>{some.error};
    wrong += some.value.size();
    for (const WrongFlag& flag : some.value)
      report(fmt::format("the COPIED flag of an L2 entry, {:#x}, is wrong for a count of {}",
                         flag.descriptor, flag.count));
    if (!fix || some.value.empty()) continue;
    const std::error_code error = co_await turn_flags(table, slice, std::move(some.value));
    if (error) co_return Outcome<uint64_t>{error};
  }
  co_return Outcome<uint64_t>{{}, wrong};
}

}  // namespace vireo::blk::qcow2
