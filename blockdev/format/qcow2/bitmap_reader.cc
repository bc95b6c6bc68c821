#include "blockdev/format/qcow2/bitmap_reader.h"

#include <algorithm>

namespace vireo::blk::qcow2 {

Task<Outcome<std::vector<uint64_t>>> read_bitmap_table(HostFile& file, Geometry geometry,
                                                       uint64_t offset, uint32_t entries) {
  using Result = Outcome<std::vector<uint64_t>>;
  if (entries == 0) co_return Result{};
  Buffer bytes(align_up(uint64_t{entries} * 8, geometry.slice_size()));
  const std::error_code error = co_await file.read(offset, bytes);
  std::vector<uint64_t> table(entries);
  for (size_t i = 0; i < table.size(); ++i) table[i] = load_be64(bytes.data() + i * 8);
  co_return Result{error, std::move(table)};
}

Task<Outcome<DirtyBits::Part>> read_bitmap_part(HostFile& file, Geometry geometry, uint64_t entry) {
  using Result = Outcome<DirtyBits::Part>;
  const uint64_t host = entry & kOffsetMask, cluster = geometry.cluster_size();
  const std::byte fill{static_cast<uint8_t>((entry & kAllOnes) != 0 ? 0xff : 0)};
  DirtyBits::Part part(cluster, fill);
  if (host == 0) co_return Result{{}, std::move(part)};
  if (geometry.in_cluster(host) != 0 || !file.contains(host, 1)) co_return Result{io_error()};
  Buffer bytes(cluster);
  const std::error_code error = co_await file.read(host, bytes);
  std::copy_n(bytes.data(), cluster, part.begin());
  co_return Result{error, std::move(part)};
}

Task<std::error_code> BitmapReader::load_part() {
  if (!std::exchange(loaded_, true)) {
    Outcome<std::vector<uint64_t>> table =
        co_await read_bitmap_table(file_, geometry_, info_.table_offset, info_.table_entries);
    if (table.error) co_return table.error;
    table_ = std::move(table.value);
  }
  while (number_ < table_.size() && table_[number_] == 0) ++number_;
  if (number_ == table_.size()) co_return std::error_code{};
  Outcome<DirtyBits::Part> part = co_await read_bitmap_part(file_, geometry_, table_[number_]);
  part_ = std::move(part.value);
  bit_ = 0;
  co_return part.error;
}

bool BitmapReader::is_set(uint64_t bit) const noexcept {
  return (std::to_integer<unsigned>(part_[bit / 8]) >> (bit % 8) & 1) != 0;
}

HostRange BitmapReader::range(uint64_t first, uint64_t end) const noexcept {
  const uint64_t base = number_ * part_.size() * 8;
  const uint64_t from = std::min(size_, (base + first) * info_.granularity);
  return {from, std::min(size_, (base + end) * info_.granularity) - from};
}

Task<Outcome<HostRange>> BitmapReader::next() {
  for (;;) {
    if (part_.empty()) {
      const std::error_code error = co_await load_part();
      if (error || part_.empty()) co_return Outcome<HostRange>{error};
    }
    const uint64_t bits = part_.size() * 8;
    while (bit_ < bits && !is_set(bit_))
      bit_ += bit_ % 8 == 0 && part_[bit_ / 8] == std::byte{0} ? 8 : 1;
    const uint64_t first = bit_;
    while (bit_ < bits && is_set(bit_)) ++bit_;
    const HostRange found = range(first, bit_);
    if (bit_ == bits) {
      part_.clear();
      ++number_;
    }
    if (found.length > 0) co_return Outcome<HostRange>{{}, found};
  }
}

}  // namespace vireo::blk::qcow2
