#include "blockdev/format/qcow2/header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::blk::qcow2 {

namespace {

struct WireFieldsV2 {
  be32 magic, version;
  be64 backing_offset;
  be32 backing_length, cluster_bits;
  be64 size;
  be32 crypt_method, l1_entries;
  be64 l1_offset, refcount_table_offset;
  be32 refcount_table_clusters, snapshot_count;
  be64 snapshots_offset;
};
struct WireFieldsV3 {
  be64 incompatible, compatible, autoclear;
  be32 refcount_order, header_length;
};
static_assert(sizeof(WireFieldsV2) == kHeaderLengthV2 &&
              sizeof(WireFieldsV2) + sizeof(WireFieldsV3) == kLeastHeaderLengthV3);

constexpr size_t kMaxExtensions = 1024;
constexpr uint32_t kMaxEncryption = 2;

struct FeatureName {
  uint8_t type, bit;
  std::string_view name;
};
constexpr std::array<FeatureName, 8> kFeatureNames{{{0, 0, "dirty bit"},
                                                    {0, 1, "corrupt bit"},
                                                    {0, 2, "external data file"},
                                                    {0, 3, "compression type"},
                                                    {0, 4, "extended L2 entries"},
                                                    {1, 0, "lazy refcounts"},
                                                    {2, 0, "bitmaps"},
                                                    {2, 1, "raw external data"}}};

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw ConfigError(fmt::format("cannot open qcow2 image '{}': {}", name, why));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The image's own words for an incompatible bit, from its feature name table.
std::string feature_name(const Header& header, uint32_t bit) {
  for (const HeaderExtension& extension : header.extensions) {
    if (extension.type != kExtensionFeatureNames) continue;
    for (size_t at = 0; at + 2 < extension.data.size(); at += 48) {  // the last may be shorter
      const auto rest = std::span(extension.data).subspan(at);
      const auto entry = rest.first(std::min<size_t>(rest.size(), 48));
      if (entry[0] != std::byte{0} || std::to_integer<uint32_t>(entry[1]) != bit) continue;
      std::string name = text_of(entry.subspan(2));
      name.resize(std::min(name.find('\0'), name.size()));
      std::replace_if(
          name.begin(), name.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
      return fmt::format("'{}' (bit {})", name, bit);
    }
  }
  return fmt::format("bit {}", bit);
}

void check_incompatible(const Header& header, const std::string& name) {
  const uint64_t unknown = header.incompatible & ~kIncompatibleKnown;
  if (unknown == 0) return;
  std::string list;
  for (uint32_t bit = 0; bit < 64; ++bit) {
    if (((unknown >> bit) & 1) == 0) continue;
    list += (list.empty() ? "" : ", ") + feature_name(header, bit);
  }
  refuse(name, fmt::format("it needs features that are not supported: {}", list));
}

void parse_extensions(Header& header, ByteReader reader, const std::string& name) {
  while (header.extensions.size() < kMaxExtensions) {
    if (reader.rest().size() < 8) return;  // the area may end without the end mark
    HeaderExtension extension;
    extension.type = reader.get<be32>();
    const uint32_t length = reader.get<be32>();
    const auto data = reader.take(length);
    if (!reader.ok())
      refuse(name, fmt::format("header extension {:#x} is longer than the header's cluster",
                               extension.type));
    if (extension.type == 0) return;
    extension.data.assign(data.begin(), data.end());
    header.extensions.push_back(std::move(extension));
    reader.take(std::min<size_t>(-length & 7, reader.rest().size()));
  }
  refuse(name, fmt::format("it has more than {} header extensions", kMaxExtensions));
}

void parse_v3(Header& header, ByteReader& reader, const std::string& name) {
  const auto fields = reader.get<WireFieldsV3>();
  if (!reader.ok()) refuse(name, "the file ends inside the header");
  header.incompatible = fields.incompatible;
  header.compatible = fields.compatible;
  header.autoclear = fields.autoclear;
  header.refcount_order = fields.refcount_order;
  header.header_length = fields.header_length;
  if (header.header_length < kLeastHeaderLengthV3 || header.header_length % 8 != 0 ||
      header.header_length > (uint64_t{1} << header.cluster_bits))
    refuse(name, fmt::format("its header claims to be {} bytes long", header.header_length));
  const auto rest = reader.take(header.header_length - kLeastHeaderLengthV3);
  if (!reader.ok()) refuse(name, "the file ends inside the header");
  if (rest.empty()) return;
  const auto type = std::to_integer<uint8_t>(rest[0]);
  if (type > static_cast<uint8_t>(Compression::zstd))
    refuse(name, fmt::format("its compression type {} is not known", type));
  header.compression = static_cast<Compression>(type);
  header.unknown_fields.assign(rest.begin() + 1, rest.end());
}

void check_features(const Header& header, const std::string& name) {
  check_incompatible(header, name);
  if (header.refcount_order > 6)
    refuse(name, fmt::format("its refcount width 2^{} is above 64 bits", header.refcount_order));
  const bool flagged = (header.incompatible & kIncompatibleCompression) != 0;
  if (flagged != (header.compression != Compression::zlib))
    refuse(name, "its compression type contradicts its feature bits");
  if ((header.incompatible & kIncompatibleExtendedL2) && header.cluster_bits < 14)
    refuse(name, "extended L2 entries need clusters of at least 16 KiB");
  if (header.raw_data_file() && !header.has_data_file())
    refuse(name, "it claims raw external data without an external data file");
  if (header.raw_data_file() && !header.backing_file.empty())
    refuse(name, "it claims raw external data and a backing file at once");
}

void check_table(const char* what, uint64_t offset, uint64_t length, uint64_t limit,
                 const Header& header, uint64_t file_size, const std::string& name) {
  if (length > limit)
    refuse(name, fmt::format("its {} of {} bytes is above the limit of {}", what, length, limit));
  const bool aligned = header.geometry().in_cluster(offset) == 0;
  if (length == 0 && aligned) return;
  if (offset == 0 || !aligned)
    refuse(name, fmt::format("its {} starts at {}, which is not a cluster", what, offset));
  if (offset >= kMaxHostOffset || offset > file_size || length > file_size - offset)
    refuse(name, fmt::format("its {} ends beyond the end of the file (is it truncated?)", what));
}

void check_tables(const Header& header, uint64_t file_size, const std::string& name,
                  Refcounts refcounts) {
  const Geometry geometry = header.geometry();
  if (header.size >= (uint64_t{1} << 63))
    refuse(name, fmt::format("its size of {} bytes is absurd", header.size));
  check_table("L1 table", header.l1_offset, uint64_t{header.l1_entries} * 8, kMaxL1Bytes, header,
              file_size, name);
  if (geometry.l1_entries_for(header.size) > kMaxL1Bytes / 8)
    refuse(name,
           fmt::format("its size of {} bytes is more than any L1 table can map", header.size));
  if (geometry.l1_entries_for(header.size) > header.l1_entries)
    refuse(name, fmt::format("its L1 table of {} entries is too short for {} bytes",
                             header.l1_entries, header.size));
  if (header.refcount_table_clusters == 0) refuse(name, "it has no refcount table");
  const uint64_t table_bytes = uint64_t{header.refcount_table_clusters} << header.cluster_bits;
  const bool may_be_lost = refcounts == Refcounts::may_be_lost &&
                           table_bytes <= kMaxRefcountTableBytes &&
                           geometry.in_cluster(header.refcount_table_offset) == 0;
  if (!may_be_lost)
    check_table("refcount table", header.refcount_table_offset, table_bytes, kMaxRefcountTableBytes,
                header, file_size, name);
  if (header.snapshot_count > kMaxSnapshots)
    refuse(name, fmt::format("it claims {} snapshots", header.snapshot_count));
  // Each entry has at least 40 bytes; the entries themselves are checked when they are read.
  check_table("snapshot table", header.snapshots_offset, uint64_t{header.snapshot_count} * 40,
              kMaxSnapshotTableBytes, header, file_size, name);
}

std::string parse_backing(const WireFieldsV2& fields, const Header& header,
                          std::span<const std::byte> first_cluster, const std::string& name) {
  const uint64_t offset = fields.backing_offset;
  const uint32_t length = fields.backing_length;
  if (offset == 0) return {};
  // A name inside the fixed fields would change under us with them.
  if (length > kMaxBackingName || offset < header.header_length || offset > first_cluster.size() ||
      length > first_cluster.size() - offset)
    refuse(name, "its backing file name does not lie in the first cluster after the header");
  std::string text = text_of(first_cluster.subspan(offset, length));
  if (text.find('\0') != std::string::npos)
    refuse(name, "its backing file name contains a zero byte");
  return text;
}

// Extensions end where the backing file name begins.
std::span<const std::byte> extension_area(const WireFieldsV2& fields, const Header& header,
                                          std::span<const std::byte> first_cluster) {
  uint64_t end = first_cluster.size();
  if (fields.backing_offset != 0) end = std::min<uint64_t>(end, fields.backing_offset);
  if (end <= header.header_length) return {};
  return first_cluster.subspan(header.header_length, end - header.header_length);
}

}  // namespace

Geometry Header::geometry() const noexcept {
  return {.cluster_bits = cluster_bits,
          .refcount_order = refcount_order,
          .extended_l2 = (incompatible & kIncompatibleExtendedL2) != 0,
          .data_file = has_data_file(),
          .zero_flag = version >= 3};
}

std::string Header::text_extension(uint32_t type) const {
  std::string text;
  for (const HeaderExtension& extension : extensions)
    if (extension.type == type) text = text_of(extension.data);
  return text;  // of several the last, as in QEMU
}

void Header::set_text_extension(uint32_t type, const std::string& text) {
  std::erase_if(extensions, [&](const HeaderExtension& e) { return e.type == type; });
  if (text.empty()) return;
  const auto bytes = bytes_of_text(text);
  extensions.insert(extensions.begin(), {type, {bytes.begin(), bytes.end()}});
}

void Header::place_backing_file() noexcept {
  backing_offset = 0;
  if (backing_file.empty()) return;
  backing_offset = header_length + 8;  // the end mark
  for (const HeaderExtension& extension : extensions)
    backing_offset += 8 + align_up(extension.data.size(), 8);
}

bool Header::clear_unknown_autoclear() noexcept {
  const uint64_t kept = autoclear & (kAutoclearRawData | kAutoclearBitmaps);
  const bool changed = kept != autoclear;
  autoclear = kept;
  return changed;
}

uint64_t peek_cluster_size(std::span<const std::byte> start, const std::string& name) {
  ByteReader reader(start);
  const auto fields = reader.get<WireFieldsV2>();
  if (!reader.ok()) refuse(name, "the file is too short for a qcow2 header");
  if (fields.magic != kMagic) refuse(name, "it does not begin with the qcow2 signature");
  if (fields.version != 2 && fields.version != 3)
    refuse(name, fmt::format("its version is {}, only 2 and 3 are supported",
                             static_cast<uint32_t>(fields.version)));
  const uint32_t bits = fields.cluster_bits;
  if (bits < kMinClusterBits || bits > kMaxClusterBits)
    refuse(name,
           fmt::format("its clusters of 2^{} bytes are not between 512 bytes and 2 MiB", bits));
  return uint64_t{1} << bits;
}

Header parse_header(std::span<const std::byte> first_cluster, uint64_t file_size,
                    const std::string& name, Refcounts refcounts) {
  const uint64_t cluster_size = peek_cluster_size(first_cluster, name);
  first_cluster = first_cluster.first(std::min<size_t>(first_cluster.size(), cluster_size));
  ByteReader reader(first_cluster);
  const auto fields = reader.get<WireFieldsV2>();
  Header header{.version = fields.version,
                .cluster_bits = fields.cluster_bits,
                .encryption = fields.crypt_method,
                .size = fields.size,
                .l1_offset = fields.l1_offset,
                .l1_entries = fields.l1_entries,
                .refcount_table_offset = fields.refcount_table_offset,
                .refcount_table_clusters = fields.refcount_table_clusters,
                .snapshot_count = fields.snapshot_count,
                .snapshots_offset = fields.snapshots_offset,
                .header_length = kHeaderLengthV2};
  if (header.version >= 3) parse_v3(header, reader, name);
  header.backing_file = parse_backing(fields, header, first_cluster, name);
  if (!header.backing_file.empty()) header.backing_offset = fields.backing_offset;
  parse_extensions(header, ByteReader(extension_area(fields, header, first_cluster)), name);
  if (header.encryption > kMaxEncryption)
    refuse(name, fmt::format("its encryption method {} is not known", header.encryption));
  check_features(header, name);
  check_tables(header, file_size, name, refcounts);
  return header;
}

std::vector<std::byte> serialise_fields(const Header& header) {
  ByteWriter writer;
  writer.put(WireFieldsV2{.magic = kMagic,
                          .version = header.version,
                          .backing_offset = header.backing_offset,
                          .backing_length = static_cast<uint32_t>(header.backing_file.size()),
                          .cluster_bits = header.cluster_bits,
                          .size = header.size,
                          .crypt_method = header.encryption,
                          .l1_entries = header.l1_entries,
                          .l1_offset = header.l1_offset,
                          .refcount_table_offset = header.refcount_table_offset,
                          .refcount_table_clusters = header.refcount_table_clusters,
                          .snapshot_count = header.snapshot_count,
                          .snapshots_offset = header.snapshots_offset});
  if (header.version < 3) return writer.take();
  writer.put(WireFieldsV3{.incompatible = header.incompatible,
                          .compatible = header.compatible,
                          .autoclear = header.autoclear,
                          .refcount_order = header.refcount_order,
                          .header_length = header.header_length});
  if (header.header_length > kLeastHeaderLengthV3) {
    writer.put(static_cast<uint8_t>(header.compression));
    writer.put(std::span<const std::byte>(header.unknown_fields));
    writer.zeros(header.header_length - writer.size());
  }
  return writer.take();
}

std::vector<std::byte> serialise_header(const Header& header, const std::string& name) {
  ByteWriter writer;
  writer.put(std::span<const std::byte>(serialise_fields(header)));
  for (const HeaderExtension& extension : header.extensions) {
    writer.put(be32{extension.type});
    writer.put(be32{static_cast<uint32_t>(extension.data.size())});
    writer.put(std::span<const std::byte>(extension.data));
    writer.zeros(-extension.data.size() & 7);
  }
  writer.zeros(8);  // the end mark
  writer.put(bytes_of_text(header.backing_file));
  if (!fits_first_cluster(header))
    throw ConfigError(fmt::format(
        "the header of qcow2 image '{}' does not fit into a cluster of {} bytes; use larger "
        "clusters or a shorter backing file name",
        name, header.geometry().cluster_size()));
  return writer.take();
}

bool fits_first_cluster(const Header& header) noexcept {
  uint64_t size = header.header_length + 8 + header.backing_file.size();
  for (const HeaderExtension& extension : header.extensions)
    size += 8 + align_up(extension.data.size(), 8);
  return size <= header.geometry().cluster_size();
}

bool make_fit(Header& header) noexcept {
  if (!fits_first_cluster(header))
    std::erase_if(header.extensions,
                  [](const HeaderExtension& e) { return e.type == kExtensionFeatureNames; });
  header.place_backing_file();
  return fits_first_cluster(header);
}

HeaderExtension feature_names() {
  ByteWriter writer;
  for (const FeatureName& feature : kFeatureNames) {
    writer.put(feature.type);
    writer.put(feature.bit);
    writer.put(bytes_of_text(feature.name));
    writer.zeros(46 - feature.name.size());
  }
  return {kExtensionFeatureNames, writer.take()};
}

}  // namespace vireo::blk::qcow2
