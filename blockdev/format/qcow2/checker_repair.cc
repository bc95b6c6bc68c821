// Building the refcount structure anew, at the end of the file, from what the tables refer to.
#include <algorithm>

#include <fmt/core.h>

#include "blockdev/format/qcow2/checker.h"

namespace vireo::blk::qcow2 {

Task<std::error_code> Checker::rebuild() {
  complain(true, "its refcounts are built anew");
  std::set<uint64_t> windows, blocks;
  Counts noted{.windows = &windows, .blocks = &blocks};
  std::error_code error = co_await count(noted, false);
  if (error) co_return error;
  // Behind everything, the old structure too: it stays in force until the header changes.
  const uint64_t first = std::max(div_up(image_.file.size(), geometry_.cluster_size()),
                                  result_.image_end_offset >> geometry_.cluster_bits);
  std::vector<bool> needed(blocks.empty() ? 0 : *blocks.rbegin() + 1);
  for (const uint64_t block : blocks) needed[block] = true;
  RefcountArea area = place_refcounts(geometry_, std::move(needed), first);
  if (area.table_clusters << geometry_.cluster_bits > kMaxRefcountTableBytes)
    co_return std::make_error_code(std::errc::file_too_large);
  error = co_await write_blocks(area);
  if (error) co_return error;

  Buffer bytes = table_bytes(area.table);
  const HostRange at{first << geometry_.cluster_bits, bytes.size()};
  error = co_await image_.file.write(at.offset, bytes);
  if (!error) error = co_await image_.file.flush();
  if (error) co_return error;
  Header next = image_.header;
  next.refcount_table_offset = at.offset;
  next.refcount_table_clusters = static_cast<uint32_t>(area.table_clusters);
  error = co_await image_.publish(std::move(next));
  if (error) co_return error;
  tables_.allocator.replace_table(std::move(area.table), at);
  result_.corruptions_fixed = result_.corruptions - kept_ - incomplete_;
  result_.leaks_fixed = result_.leaks;
  rebuild_ = false;
  counts_right_ = true;
  shared_blocks_.clear();
  note_blocks();
  co_return error;
}

Task<std::error_code> Checker::write_blocks(const RefcountArea& area) {
  const std::vector<uint64_t>& table = area.table;
  const uint64_t area_end = area.first + area.clusters;
  const uint64_t per_block = geometry_.refcount_block_entries();
  const uint64_t cluster = geometry_.cluster_size();
  Counts counts;
  bool counted = false;
  for (uint64_t block = 0; block < table.size(); ++block) {
    if (table[block] == 0) continue;
    const uint64_t window_first = align_down(block * per_block, kWindowClusters);
    if (!counted || counts.first != window_first) {
      counts = Counts{.first = window_first};
      counts.counts.resize(std::min(kWindowClusters, align_up(area_end, per_block) - window_first));
      const std::error_code error = co_await count(counts, false);
      if (error) co_return error;
      add(counts, area.first * cluster, area.clusters * cluster, 1);
      counted = true;
    }
    Buffer bytes = Buffer::zeros(cluster);
    for (uint64_t i = 0; i < per_block; ++i) {
      const uint64_t at = block * per_block + i - window_first;
      const uint64_t found = at < counts.counts.size() ? counts.counts[at] : 0;
      if (found > geometry_.refcount_max()) co_return Refusal::too_many_references;
      set_refcount(bytes.bytes(), i, geometry_.refcount_order, found);
    }
    const std::error_code error = co_await image_.file.write(table[block], bytes);
    if (error) co_return error;
  }
  co_return std::error_code{};
}

}  // namespace vireo::blk::qcow2
