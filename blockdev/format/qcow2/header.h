// The first cluster of a qcow2 image: parse, validate, serialise. Pure: bytes in, struct out, no
// I/O; any thread. Specification: "Header", "Additional fields", "Header extensions".
//
// What this version does not know is kept: unknown compatible bits, unknown header fields and
// unknown extensions survive serialisation; unknown autoclear bits survive until the image is
// opened for writing (clear_unknown_autoclear()); unknown incompatible bits are refused. Encryption
// is parsed: who opens the image refuses it. Errors: ConfigError, one sentence that names the
// image.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "blockdev/format/qcow2/on_disk.h"

namespace vireo::blk::qcow2 {

struct HeaderExtension {
  uint32_t type = 0;
  std::vector<std::byte> data;
  bool operator==(const HeaderExtension&) const = default;
};

inline constexpr uint32_t kExtensionBackingFormat = 0xe2792aca;
inline constexpr uint32_t kExtensionFeatureNames = 0x6803f857;
inline constexpr uint32_t kExtensionBitmaps = 0x23852875;
inline constexpr uint32_t kExtensionDataFile = 0x44415441;

// Bytes of the fixed fields: of version 2; the fewest that version 3 has, and those that it gets.
inline constexpr uint32_t kHeaderLengthV2 = 72;
inline constexpr uint32_t kLeastHeaderLengthV3 = 104, kHeaderLengthV3 = 112;

struct Header {
  uint32_t version = 3;
  uint32_t cluster_bits = 16;
  uint32_t encryption = 0;  // 0: none, 1: AES, 2: LUKS
  uint64_t size = 0;
  uint64_t l1_offset = 0;
  uint32_t l1_entries = 0;
  uint64_t refcount_table_offset = 0;
  uint32_t refcount_table_clusters = 0;
  uint32_t snapshot_count = 0;
  uint64_t snapshots_offset = 0;
  uint64_t incompatible = 0;
  uint64_t compatible = 0;
  uint64_t autoclear = 0;
  uint32_t refcount_order = 4;
  uint32_t header_length = kHeaderLengthV3;
  Compression compression = Compression::zlib;
  std::vector<std::byte> unknown_fields;  // bytes 105 .. header_length
  std::vector<HeaderExtension> extensions;
  std::string backing_file;     // empty: none
  uint64_t backing_offset = 0;  // where the name lies; see place_backing_file()
  bool operator==(const Header&) const = default;

  Geometry geometry() const noexcept;
  bool dirty() const noexcept { return (incompatible & kIncompatibleDirty) != 0; }
  bool corrupt() const noexcept { return (incompatible & kIncompatibleCorrupt) != 0; }
  bool has_data_file() const noexcept { return (incompatible & kIncompatibleDataFile) != 0; }
  bool raw_data_file() const noexcept { return (autoclear & kAutoclearRawData) != 0; }
  bool lazy_refcounts() const noexcept {
    return version >= 3 && (compatible & kCompatibleLazyRefcounts) != 0;
  }
  // Empty when the extension is not there.
  std::string text_extension(uint32_t type) const;
  std::string backing_format() const { return text_extension(kExtensionBackingFormat); }
  std::string data_file() const { return text_extension(kExtensionDataFile); }
  void set_text_extension(uint32_t type, const std::string& text);  // empty: removes it
  // After a change of extensions or of the backing file's name: puts the name behind them.
  void place_backing_file() noexcept;
  // True when a bit was cleared: the header has to be written before anything else is.
  bool clear_unknown_autoclear() noexcept;
};

// The cluster size named by the first 24 bytes, so that the rest of the first cluster can be read.
// Throws when this is not a qcow2 image that can be opened at all.
uint64_t peek_cluster_size(std::span<const std::byte> start, const std::string& name);

// Whether the refcount table must be there: who only reads, or builds it anew, can do without.
enum class Refcounts : uint8_t { needed, may_be_lost };

// `first_cluster` is the image's first cluster, or less when the file ends before. Tables must lie
// inside `file_size` bytes.
Header parse_header(std::span<const std::byte> first_cluster, uint64_t file_size,
                    const std::string& name, Refcounts refcounts = Refcounts::needed);

// The fixed fields only, header_length bytes: what changes while an image is in use.
std::vector<std::byte> serialise_fields(const Header& header);
// Fields, extensions and backing file name (placed) as they begin the file. Throws when they do not
// fit into a cluster.
std::vector<std::byte> serialise_header(const Header& header, const std::string& name);

// serialise_header() would not throw.
bool fits_first_cluster(const Header& header) noexcept;

// The same, after leaving out the names of features, which only messages need, where they are too
// much. Places the backing file's name.
bool make_fit(Header& header) noexcept;

// The "Feature name table" for the bits this version knows.
HeaderExtension feature_names();

}  // namespace vireo::blk::qcow2
