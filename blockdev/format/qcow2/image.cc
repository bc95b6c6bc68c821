#include "blockdev/format/qcow2/image.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

namespace {

Buffer first_blocks(const Header& header, std::span<const std::byte> first_cluster) {
  const uint64_t cluster = header.geometry().cluster_size();
  const uint64_t size = std::min<uint64_t>(cluster, align_up(header.header_length, 4096));
  Buffer buffer = Buffer::zeros(size);
  std::memcpy(buffer.data(), first_cluster.data(), std::min<size_t>(size, first_cluster.size()));
  return buffer;
}

bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length) noexcept {
  return a < b + b_length && b < a + a_length;
}

}  // namespace

Image::Image(Host host_in, std::string name_in, std::unique_ptr<Node> file_in, Header header_in,
             std::span<const std::byte> first_cluster, bool read_only_in)
    : host(host_in),
      name(std::move(name_in)),
      file(std::move(file_in)),
      header(std::move(header_in)),
      geometry(header.geometry()),
      read_only(read_only_in),
      first_(first_blocks(header, first_cluster)) {}

Task<std::error_code> Image::write_fields() {
  const AsyncMutex::Guard guard = co_await writing_.lock();
  const std::vector<std::byte> fields = serialise_fields(header);
  std::memcpy(first_.data(), fields.data(), fields.size());
  co_return co_await file.write(0, first_);
}

Task<std::error_code> Image::write_layout(const Header& from) {
  header.size = from.size;
  header.l1_offset = from.l1_offset;
  header.l1_entries = from.l1_entries;
  header.refcount_table_offset = from.refcount_table_offset;
  header.refcount_table_clusters = from.refcount_table_clusters;
  header.refcount_order = from.refcount_order;
  header.snapshots_offset = from.snapshots_offset;
  header.snapshot_count = from.snapshot_count;
  std::error_code error = co_await write_fields();
  if (!error) error = co_await file.flush();
  co_return error;
}

Task<std::error_code> Image::publish(Header next) {
  const Header before = header;
  const std::error_code error = co_await write_layout(next);
  if (!error) co_return error;
  const std::error_code again = co_await write_layout(before);
  if (again) {
    host.log.error("qcow2", fmt::format("the header of image '{}' cannot be written ({}); the "
                                        "image takes no more writes",
                                        name, again.message()));
    corrupt_ = true;
  }
  co_return error;
}

Task<std::error_code> Image::write_header() {
  const AsyncMutex::Guard guard = co_await writing_.lock();
  const std::vector<std::byte> bytes = serialise_header(header, name);
  Buffer cluster = Buffer::zeros(geometry.cluster_size());
  std::memcpy(cluster.data(), bytes.data(), bytes.size());
  std::memcpy(first_.data(), cluster.data(), first_.size());
  co_return co_await file.write(0, cluster);
}

Task<std::error_code> Image::set_dirty(bool dirty) {
  if (header.version < 3 || header.dirty() == dirty) co_return std::error_code{};
  header.incompatible ^= kIncompatibleDirty;
  std::error_code error = co_await write_fields();
  if (!error) error = co_await file.flush();
  if (error) header.incompatible ^= kIncompatibleDirty;
  co_return error;
}

Task<std::error_code> Image::corrupt(std::string why) {
  if (corrupt_) co_return io_error();
  host.log.error("qcow2", fmt::format("image '{}' is damaged: {}{}", name, why,
                                      read_only ? "" : "; it takes no more writes"));
  if (read_only) co_return io_error();
  corrupt_ = true;
  if (header.version < 3) co_return io_error();
  header.incompatible |= kIncompatibleCorrupt;
  const std::error_code error = co_await write_fields();
  if (error) host.log.error("qcow2", fmt::format("cannot mark image '{}' as damaged", name));
  co_return io_error();
}

uint64_t Image::refcount_table_bytes() const noexcept {
  const uint64_t bytes = uint64_t{header.refcount_table_clusters} << geometry.cluster_bits;
  const uint64_t at = header.refcount_table_offset;
  return at != 0 && file.contains(at, bytes) ? bytes : 0;
}

bool Image::is_fixed(uint64_t offset, uint64_t length) const noexcept {
  return offset < geometry.cluster_size() ||
         overlap(offset, length, header.l1_offset, uint64_t{header.l1_entries} * 8) ||
         overlap(offset, length, header.refcount_table_offset, refcount_table_bytes()) ||
         overlap(offset, length, header.snapshots_offset, snapshot_table_bytes);
}

bool Image::fixed_overlap() const noexcept {
  const uint64_t refcount_table = refcount_table_bytes();
  const uint64_t l1 = uint64_t{header.l1_entries} * 8;
  return overlap(header.l1_offset, l1, header.refcount_table_offset, refcount_table) ||
         overlap(header.l1_offset, l1, header.snapshots_offset, snapshot_table_bytes) ||
         overlap(header.refcount_table_offset, refcount_table, header.snapshots_offset,
                 snapshot_table_bytes) ||
         snapshot_l1s.overlaps(header.l1_offset, l1) ||
         snapshot_l1s.overlaps(header.refcount_table_offset, refcount_table) ||
         snapshot_l1s.overlaps(header.snapshots_offset, snapshot_table_bytes);
}

}  // namespace vireo::blk::qcow2
