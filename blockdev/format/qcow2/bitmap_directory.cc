#include "blockdev/format/qcow2/bitmap_directory.h"

#include <algorithm>
#include <bit>

namespace vireo::blk::qcow2 {

namespace {

constexpr uint32_t kInUse = 1;
constexpr uint32_t kAuto = 2;
constexpr uint32_t kExtraCompatible = 4;
constexpr uint8_t kDirtyTracking = 1;

struct WireBitmap {
  be64 table_offset;
  be32 table_entries, flags;
  uint8_t type, granularity_bits;
  be16 name_length;
  be32 extra_length;
};
static_assert(sizeof(WireBitmap) == 24);

struct WireExtension {
  be32 bitmaps, reserved;
  be64 length, offset;
};
static_assert(sizeof(WireExtension) == 24);

const HeaderExtension* find_extension(const Header& header) {
  if (header.version < 3 || (header.autoclear & kAutoclearBitmaps) == 0) return nullptr;
  for (const HeaderExtension& extension : header.extensions)
    if (extension.type == kExtensionBitmaps) return &extension;
  return nullptr;
}

// "extra_data_compatible" says that who does not know the extra data may use the bitmap.
bool is_foreign(const BitmapInfo& info, uint32_t granularity_bits) noexcept {
  const bool compatible = info.extra.empty() || (info.unknown_flags & kExtraCompatible) != 0;
  return info.type != kDirtyTracking || !compatible ||
         (info.unknown_flags & ~kExtraCompatible) != 0 || granularity_bits < kMinGranularityBits ||
         granularity_bits > kMaxGranularityBits;
}

BitmapInfo read_entry(ByteReader& reader) {
  const auto wire = reader.get<WireBitmap>();
  const uint32_t flags = wire.flags;
  const auto extra = reader.take(wire.extra_length);
  const auto name = reader.take(wire.name_length);
  const uint64_t used = sizeof wire + extra.size() + name.size();
  reader.take(align_up(used, 8) - used);
  if (wire.granularity_bits > 63 || name.empty() || name.size() > kMaxBitmapName) reader.fail();
  BitmapInfo info{.name = {reinterpret_cast<const char*>(name.data()), name.size()},
                  .in_use = (flags & kInUse) != 0,
                  .automatic = (flags & kAuto) != 0,
                  .granularity = uint64_t{1} << (wire.granularity_bits & 63),
                  .table_offset = wire.table_offset,
                  .table_entries = wire.table_entries,
                  .unknown_flags = flags & ~(kInUse | kAuto),
                  .type = wire.type,
                  .extra = {extra.begin(), extra.end()}};
  info.foreign = is_foreign(info, wire.granularity_bits);
  return info;
}

uint64_t entry_size(const BitmapInfo& info) noexcept {
  return align_up(sizeof(WireBitmap) + info.extra.size() + info.name.size(), 8);
}

}  // namespace

// Tables that lie apart, as they must, are together not longer than the file: what is read for
// them is bounded by what the image has.
Task<Outcome<BitmapDirectory>> read_bitmaps(HostFile& file, const Header& header) {
  Outcome<BitmapDirectory> result;
  const HeaderExtension* const extension = find_extension(header);
  if (extension == nullptr) co_return result;
  const Geometry geometry = header.geometry();
  ByteReader reader(extension->data);
  const auto place = reader.get<WireExtension>();
  const uint64_t offset = place.offset, length = place.length;
  result.error = io_error();
  if (!reader.ok() || length > kMaxSnapshotTableBytes || !file.contains(offset, length) ||
      geometry.in_cluster(offset) != 0 || place.bitmaps > kMaxBitmaps)
    co_return result;
  Buffer bytes(align_up(std::max<uint64_t>(length, 1), Buffer::kAlignment));
  const std::error_code error = co_await file.read(offset, bytes);
  if (error) co_return Outcome<BitmapDirectory>{error, {}};
  ByteReader entries(std::as_const(bytes).bytes().first(length));
  BitmapDirectory directory{offset, length, {}};
  uint64_t tables = 0;
  for (uint32_t i = 0; i < place.bitmaps; ++i) {
    BitmapInfo info = read_entry(entries);
    const uint64_t table = uint64_t{info.table_entries} * 8;
    tables += table;
    if (!entries.ok() || table > kMaxL1Bytes || geometry.in_cluster(info.table_offset) != 0 ||
        !file.contains(info.table_offset, table) || tables > file.size())
      co_return result;
    directory.bitmaps.push_back(std::move(info));
  }
  co_return Outcome<BitmapDirectory>{{}, std::move(directory)};
}

std::vector<std::byte> serialise_bitmaps(const std::vector<BitmapInfo>& list) {
  ByteWriter writer;
  for (const BitmapInfo& info : list) {
    writer.put(WireBitmap{
        .table_offset = info.table_offset,
        .table_entries = info.table_entries,
        .flags = info.unknown_flags | (info.in_use ? kInUse : 0) | (info.automatic ? kAuto : 0),
        .type = info.type,
        .granularity_bits = static_cast<uint8_t>(std::countr_zero(info.granularity)),
        .name_length = static_cast<uint16_t>(info.name.size()),
        .extra_length = static_cast<uint32_t>(info.extra.size())});
    writer.put(std::span<const std::byte>(info.extra));
    writer.put(bytes_of_text(info.name));
    writer.zeros(-writer.size() & 7);
  }
  return writer.take();
}

// In front of all that has a length of its own, so that it lies in the header's first sector and
// changes together with the autoclear bit.
void name_directory(Header& header, const BitmapDirectory& directory) {
  const auto is_ours = [](const HeaderExtension& e) { return e.type == kExtensionBitmaps; };
  if (directory.bitmaps.empty()) {
    header.autoclear &= ~kAutoclearBitmaps;
    std::erase_if(header.extensions, is_ours);
    return;
  }
  auto at = std::find_if(header.extensions.begin(), header.extensions.end(), is_ours);
  if (at == header.extensions.end())
    at = header.extensions.insert(header.extensions.begin(), HeaderExtension{});
  ByteWriter writer;
  writer.put(WireExtension{.bitmaps = static_cast<uint32_t>(directory.bitmaps.size()),
                           .reserved = 0,
                           .length = directory.length,
                           .offset = directory.offset});
  *at = {kExtensionBitmaps, writer.take()};
  header.autoclear |= kAutoclearBitmaps;
}

uint64_t bitmap_clusters(uint64_t size, uint64_t granularity, uint64_t cluster_size) noexcept {
  const uint64_t clusters = div_up(div_up(div_up(size, granularity), 8), cluster_size);
  return clusters == 0 ? 1 : clusters;
}

uint64_t bitmaps_file_size(const std::vector<BitmapInfo>& bitmaps, uint64_t size,
                           uint64_t cluster_size) noexcept {
  uint64_t total = 0, directory = 0;
  for (const BitmapInfo& info : bitmaps) {
    if (info.in_use || info.foreign) continue;
    const uint64_t clusters = bitmap_clusters(size, info.granularity, cluster_size);
    total += clusters * cluster_size + align_up(clusters * 8, cluster_size);
    directory += entry_size(info);
  }
  return total + align_up(directory, cluster_size);
}

}  // namespace vireo::blk::qcow2
