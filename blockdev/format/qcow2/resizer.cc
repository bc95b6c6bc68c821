#include "blockdev/format/qcow2/resizer.h"

#include <algorithm>

#include "blockdev/format/qcow2/tree.h"

namespace vireo::blk::qcow2 {

Task<std::error_code> Resizer::resize(uint64_t size) {
  if (image_.is_corrupt()) co_return io_error();
  if (size == image_.header.size) co_return std::error_code{};
  if (image_.header.version < 3 && image_.header.snapshot_count > 0)
    co_return Refusal::snapshots_keep_size;
  if (size >= uint64_t{1} << 62 || image_.geometry.l1_entries_for(size) * 8 > kMaxL1Bytes)
    co_return Refusal::clusters_too_small;
  std::error_code error = co_await tables_.settle();
  if (error) co_return error;
  if (size > image_.header.size)
    error = co_await grow(size);
  else
    error = co_await shrink(size);
  if (!error && image_.header.raw_data_file() && image_.data->size() != size)
    error = co_await image_.data->node().resize(size);
  co_return error;
}

Task<std::error_code> Resizer::map_up_to(uint64_t end) {
  if (image_.is_corrupt()) co_return io_error();
  const uint64_t entries = image_.geometry.l1_entries_for(end);
  if (entries * 8 > kMaxL1Bytes) co_return Refusal::clusters_too_small;
  if (entries <= image_.header.l1_entries) co_return std::error_code{};
  const std::error_code error = co_await tables_.settle();
  if (error) co_return error;
  co_return co_await grow_l1(entries);
}

Task<std::error_code> Resizer::publish_size(uint64_t size) {
  Header next = image_.header;
  next.size = size;
  co_return co_await image_.publish(std::move(next));
}

Task<std::error_code> Resizer::grow(uint64_t size) {
  const uint64_t old_size = image_.header.size;
  const uint64_t entries = image_.geometry.l1_entries_for(size);
  std::error_code error;
  if (entries > image_.header.l1_entries) error = co_await grow_l1(entries);
  if (error) co_return error;
  image_.header.size = size;  // so that the new part can be zeroed; on disk only afterwards
  error = co_await zero_new_part(old_size);
  if (!error) error = co_await tables_.settle();
  image_.header.size = old_size;
  if (!error) error = co_await publish_size(size);
  co_return error;
}

Task<std::error_code> Resizer::grow_l1(uint64_t entries) {
  Tree tree(image_, tables_);
  std::vector<uint64_t> l1 = tables_.map.l1();
  l1.resize(entries);
  const Outcome<uint64_t> offset = co_await tree.write_l1(l1);
  if (offset.error) co_return offset.error;
  std::error_code error = co_await tables_.settle();
  if (error) co_return error;
  const HostRange old{image_.header.l1_offset, uint64_t{image_.header.l1_entries} * 8};
  Header next = image_.header;
  next.l1_offset = offset.value;
  next.l1_entries = static_cast<uint32_t>(entries);
  error = co_await image_.publish(std::move(next));
  if (error) co_return error;
  tables_.map.replace_l1(std::move(l1));
  if (old.length > 0) tables_.allocator.free_later(old.offset, old.length);
  co_return co_await tables_.settle();
}

// The rest of what was the last cluster, and where a longer backing image would show.
Task<std::error_code> Resizer::zero_new_part(uint64_t old_size) {
  uint64_t end = align_up(old_size, image_.geometry.cluster_size());
  if (reader_.backing() != nullptr) end = std::max(end, reader_.backing()->limits().size);
  end = std::min(end, image_.header.size);
  if (end <= old_size) co_return std::error_code{};
  const ZeroFlags flags{.may_unmap = true};
  co_return co_await writer_.zero(old_size, end - old_size, flags);
}

Task<std::error_code> Resizer::shrink(uint64_t size) {
  std::error_code error = co_await publish_size(size);
  if (!error) error = co_await cut_table(size);
  if (error) co_return error;
  // L1 entries whose tables lie beyond as a whole.
  std::vector<uint64_t> beyond;
  for (uint64_t i = image_.geometry.l1_entries_for(size); i < tables_.map.l1().size(); ++i) {
    if (tables_.map.l1()[i] == 0) continue;
    beyond.push_back(tables_.map.l1()[i]);
    tables_.map.set_l1_entry(i, 0);
  }
  Tree tree(image_, tables_);
  error = co_await tables_.settle();
  if (!error) error = co_await tree.drop_references(std::move(beyond));
  if (!error) error = co_await tables_.settle();
  if (error) co_return error;
  tables_.map.forget_all();
  const Outcome<uint64_t> end = co_await tables_.allocator.find_used_end();
  if (end.error) co_return end.error;
  co_return co_await image_.file.cut(end.value);
}

// The entries behind the new end in the table that maps it.
Task<std::error_code> Resizer::cut_table(uint64_t size) {
  const Geometry& geometry = image_.geometry;
  const uint64_t end = align_up(size, geometry.l2_coverage());
  std::error_code error;
  for (uint64_t guest = align_up(size, geometry.cluster_size()); guest < end && !error;) {
    if (tables_.map.table_offset(geometry.l1_index(guest)) == 0) break;
    const uint64_t first = guest >> geometry.cluster_bits;
    Outcome<EntryRange> range =
        co_await tables_.map.entries(first, (end - guest) >> geometry.cluster_bits);
    error = range.error;
    if (error) break;
    const size_t count = range.value.entries.size();
    const bool empty = std::all_of(range.value.entries.begin(), range.value.entries.end(),
                                   [](const L2Entry& entry) { return entry == L2Entry{}; });
    guest += count << geometry.cluster_bits;
    if (empty) continue;
    std::fill(range.value.entries.begin(), range.value.entries.end(), L2Entry{});
    error = co_await tables_.map.prepare_table(first << geometry.cluster_bits);
    if (!error) error = co_await tables_.map.replace(std::move(range.value));
  }
  co_return error;
}

}  // namespace vireo::blk::qcow2
