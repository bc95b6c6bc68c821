#include "blockdev/format/qcow2/expander.h"

#include <algorithm>

namespace vireo::blk::qcow2 {

Task<std::error_code> Expander::run(ProgressFunction progress) {
  std::error_code error = co_await tables_.settle();
  if (error) co_return error;
  tables_.map.forget_all();
  const Outcome<std::vector<uint64_t>> found = co_await all_tables();
  error = found.error;
  const size_t count = found.value.size();
  for (size_t i = 0; i < count && !error; ++i) {
    const uint64_t table = found.value[i];
    error = co_await expand_table(table);
    if (!error && progress && !progress(i + 1, count))
      error = std::make_error_code(std::errc::operation_canceled);
  }
  tables_.map.forget_all();
  if (!error && !replaced_.empty()) error = co_await snapshots_.let_go(std::move(replaced_));
  co_return error;
}

// Each L2 table once, whoever leads to it.
Task<Outcome<std::vector<uint64_t>>> Expander::all_tables() {
  using Result = Outcome<std::vector<uint64_t>>;
  Tree tree(image_, tables_);
  std::vector<uint64_t> entries = tables_.map.l1();
  for (const SnapshotInfo& info : snapshots_.list()) {
    const Outcome<std::vector<uint64_t>> l1 =
        co_await tree.read_l1(info.l1_offset, info.l1_entries);
    if (l1.error) co_return Result{l1.error};
    entries.insert(entries.end(), l1.value.begin(), l1.value.end());
  }
  for (uint64_t& entry : entries) entry &= kOffsetMask;
  std::sort(entries.begin(), entries.end());
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  std::erase(entries, 0);
  if (std::any_of(entries.begin(), entries.end(),
                  [&](uint64_t table) { return tables_.map.bad_table(table); }))
    co_return Result{io_error()};
  co_return Result{{}, std::move(entries)};
}

// The new clusters and their counts are on disk before the table leads to them. The counts of the
// old ones go down at the end, all at once: COPIED flags elsewhere depend on them.
Task<std::error_code> Expander::expand_table(uint64_t table) {
  Buffer bytes(image_.geometry.cluster_size());
  std::error_code error = co_await image_.file.read(table, bytes);
  if (error) co_return error;
  const Outcome<uint64_t> references = co_await tables_.allocator.refcount(table);
  if (references.error) co_return references.error;
  bool changed = false;
  for (uint64_t i = 0; i < image_.geometry.l2_entries(); ++i) {
    const uint64_t entry = load_be64(bytes.data() + i * 8);
    if ((entry & kCompressed) != 0 || (entry & kZeroFlag) == 0) continue;
    const Outcome<uint64_t> now = co_await expanded(entry, references.value);
    if (now.error) co_return now.error;
    store_be64(bytes.data() + i * 8, now.value);
    changed = true;
  }
  if (!changed) co_return error;
  error = co_await tables_.settle();
  if (!error) error = co_await image_.file.write(table, bytes);
  if (!error) error = co_await image_.file.flush();
  co_return error;
}

// The cluster that such an entry keeps can be used when no other table leads to it.
Task<Outcome<uint64_t>> Expander::expanded(uint64_t entry, uint64_t references) {
  const uint64_t host = entry & kOffsetMask;
  if (host != 0) {
    const Outcome<uint64_t> count = co_await tables_.allocator.refcount(host);
    if (count.error) co_return count;
    if (image_.geometry.in_cluster(host) != 0 ||
        image_.is_metadata(host, image_.geometry.cluster_size()))
      co_return Outcome<uint64_t>{io_error()};
    if (count.value == references) {
      const std::error_code error = co_await write_zeros(host);
      co_return Outcome<uint64_t>{error, entry & ~kZeroFlag};
    }
    replaced_.insert(replaced_.end(), references, host);
  }
  if (!image_.has_backing()) co_return Outcome<uint64_t>{};
  co_return co_await new_cluster(references);
}

Task<Outcome<uint64_t>> Expander::new_cluster(uint64_t references) {
  const Outcome<Run> run = co_await tables_.allocator.allocate(1);
  if (run.error) co_return Outcome<uint64_t>{run.error};
  const uint64_t host = run.value.offset;
  std::error_code error = co_await write_zeros(host);
  for (uint64_t i = 1; i < references && !error; ++i)
    error = co_await tables_.allocator.add(host, image_.geometry.cluster_size(), +1);
  co_return Outcome<uint64_t>{error, host | (references == 1 ? kCopied : 0)};
}

Task<std::error_code> Expander::write_zeros(uint64_t host) {
  Buffer zeros = Buffer::zeros(image_.geometry.cluster_size());
  co_return co_await image_.file.write(host, zeros);
}

}  // namespace vireo::blk::qcow2
