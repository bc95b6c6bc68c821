#include "blockdev/format/qcow2_bitmaps.h"

#include <algorithm>

namespace vireo::blk::qcow2 {

namespace {

constexpr uint32_t kInUse = 1;
constexpr uint32_t kAuto = 2;

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
  if ((header.autoclear & kAutoclearBitmaps) == 0) return nullptr;
  for (const HeaderExtension& extension : header.extensions)
    if (extension.type == kExtensionBitmaps) return &extension;
  return nullptr;
}

BitmapInfo read_entry(ByteReader& reader) {
  const auto wire = reader.get<WireBitmap>();
  const uint32_t extra = wire.extra_length;
  const uint16_t name_length = wire.name_length;
  reader.take(extra);
  const auto name = reader.take(name_length);
  const uint64_t used = sizeof wire + uint64_t{extra} + name_length;
  reader.take(align_up(used, 8) - used);
  if (wire.granularity_bits > 63) reader.fail();
  return {.name = {reinterpret_cast<const char*>(name.data()), name.size()},
          .in_use = (wire.flags & kInUse) != 0,
          .automatic = (wire.flags & kAuto) != 0,
          .granularity = uint64_t{1} << (wire.granularity_bits & 63),
          .table_offset = wire.table_offset,
          .table_entries = wire.table_entries};
}

}  // namespace

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
      geometry.in_cluster(offset) != 0)
    co_return result;
  Buffer bytes(align_up(std::max<uint64_t>(length, 1), Buffer::kAlignment));
  const std::error_code error = co_await file.read(offset, bytes);
  if (error) co_return Outcome<BitmapDirectory>{error, {}};
  ByteReader entries(std::as_const(bytes).bytes().first(length));
  BitmapDirectory directory{offset, length, {}};
  for (uint32_t i = 0; i < place.bitmaps; ++i) {
    BitmapInfo info = read_entry(entries);
    const uint64_t table = uint64_t{info.table_entries} * 8;
    if (!entries.ok() || table > kMaxL1Bytes || geometry.in_cluster(info.table_offset) != 0 ||
        !file.contains(info.table_offset, table))
      co_return result;
    directory.bitmaps.push_back(std::move(info));
  }
  co_return Outcome<BitmapDirectory>{{}, std::move(directory)};
}

}  // namespace vireo::blk::qcow2
