#include "blockdev/format/qcow2/create.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/core.h>

#include "blockdev/format/qcow2/qcow2.h"

namespace vireo::blk {

using namespace qcow2;

namespace {

[[noreturn]] void refuse(const Qcow2CreateOptions& options, const std::string& why) {
  throw ConfigError(fmt::format("cannot create qcow2 image '{}': {}", options.path, why));
}

void check(bool good, const Qcow2CreateOptions& options, const std::string& why) {
  if (!good) refuse(options, why);
}

void throw_if(std::error_code error, const Qcow2CreateOptions& options) {
  if (error)
    throw std::system_error(error, fmt::format("cannot create qcow2 image '{}'", options.path));
}

Header make_header(const Qcow2CreateOptions& options) {
  Header header;
  header.version = options.version;
  header.cluster_bits = static_cast<uint32_t>(std::countr_zero(options.cluster_size));
  header.size = align_up(options.size, 512);
  header.refcount_order = static_cast<uint32_t>(std::countr_zero(options.refcount_bits));
  header.compression = options.compression;
  header.header_length = options.version < 3 ? kHeaderLengthV2 : kHeaderLengthV3;
  header.unknown_fields.resize(options.version < 3 ? 0 : 7);
  if (options.lazy_refcounts) header.compatible |= kCompatibleLazyRefcounts;
  if (options.extended_l2) header.incompatible |= kIncompatibleExtendedL2;
  if (options.compression != Compression::zlib) header.incompatible |= kIncompatibleCompression;
  if (options.version >= 3) header.extensions.push_back(feature_names());
  if (!options.data_file.empty()) {
    header.incompatible |= kIncompatibleDataFile;
    header.set_text_extension(kExtensionDataFile, options.data_file);
  }
  if (options.data_file_raw) header.autoclear |= kAutoclearRawData;
  header.backing_file = options.backing_file;
  header.set_text_extension(kExtensionBackingFormat, options.backing_format);
  make_fit(header);
  return header;
}

// Where the first tables lie: header, refcount table, refcount blocks, L1 table, one behind the
// other.
struct Layout {
  uint64_t table_clusters = 1, blocks = 1, l1_clusters = 1;
  uint64_t total() const noexcept { return 1 + table_clusters + blocks + l1_clusters; }
};

Layout plan_layout(const Geometry& geometry, uint64_t l1_entries) {
  const uint64_t cluster = geometry.cluster_size();
  Layout layout;
  layout.l1_clusters = div_up(l1_entries * 8, cluster);
  for (uint64_t before = 0; before != layout.total();) {
    before = layout.total();
    layout.blocks = div_up(layout.total(), geometry.refcount_block_entries());
    layout.table_clusters = div_up(layout.blocks * 8, cluster);
  }
  return layout;
}

Buffer refcount_table(const Layout& layout, const Geometry& geometry) {
  Buffer bytes = Buffer::zeros(layout.table_clusters << geometry.cluster_bits);
  for (uint64_t i = 0; i < layout.blocks; ++i)
    store_be64(bytes.data() + i * 8, (1 + layout.table_clusters + i) << geometry.cluster_bits);
  return bytes;
}

Buffer refcount_blocks(const Layout& layout, const Geometry& geometry) {
  Buffer bytes = Buffer::zeros(layout.blocks << geometry.cluster_bits);
  for (uint64_t i = 0; i < layout.total(); ++i)
    set_refcount(bytes.bytes(), i, geometry.refcount_order, 1);
  return bytes;
}

// The header comes last: until then this is no image at all.
Task<std::error_code> write_tables(Node& file, Header header, Qcow2CreateOptions options) {
  const Geometry geometry = header.geometry();
  const uint64_t cluster = geometry.cluster_size();
  header.l1_entries = static_cast<uint32_t>(geometry.l1_entries_for(header.size));
  const Layout layout = plan_layout(geometry, header.l1_entries);
  header.refcount_table_offset = cluster;
  header.refcount_table_clusters = static_cast<uint32_t>(layout.table_clusters);
  const uint64_t blocks_at = (1 + layout.table_clusters) * cluster;
  if (header.l1_entries > 0) header.l1_offset = blocks_at + layout.blocks * cluster;
  const std::vector<std::byte> start = serialise_header(header, options.path);

  std::error_code error = co_await file.resize(0);
  const bool fixed = error == std::errc::not_supported;  // a block device
  const uint64_t size = layout.total() * cluster;
  if (!error) error = co_await file.resize(size);
  if (fixed && file.limits().size >= size) error = {};
  if (fixed && error) error = std::make_error_code(std::errc::no_space_on_device);
  if (error) co_return error;
  Buffer table = refcount_table(layout, geometry), blocks = refcount_blocks(layout, geometry);
  Buffer l1 = Buffer::zeros(layout.l1_clusters * cluster), first = Buffer::zeros(cluster);
  IoVecs tables{table.vector(), blocks.vector()};
  if (l1.size() > 0) tables.push_back(l1.vector());
  error = co_await file.write(cluster, std::move(tables), WriteFlags{});
  if (!error) error = co_await file.flush();
  if (error) co_return error;
  std::memcpy(first.data(), start.data(), start.size());
  IoVecs vectors{first.vector()};
  error = co_await file.write(0, std::move(vectors), WriteFlags{});
  if (!error) error = co_await file.flush();
  co_return error;
}

// The image opens its data file through this; it hands out the node it was given.
struct GivenNode {
  std::unique_ptr<Node> node;
};
Task<std::unique_ptr<Node>> hand_out(std::shared_ptr<GivenNode> given) {
  co_return std::move(given->node);
}

}  // namespace

void check_create_options(const Qcow2CreateOptions& options) {
  check(std::has_single_bit(options.cluster_size) && options.cluster_size >= 512 &&
            options.cluster_size <= 2 * 1024 * 1024,
        options, "the cluster size must be a power of two between 512 bytes and 2 MiB");
  check(std::has_single_bit(options.refcount_bits) && options.refcount_bits <= 64, options,
        "refcount_bits must be a power of two and at most 64");
  check(options.version == 2 || options.version == 3, options,
        "compat must be 0.10 (version 2) or 1.1 (version 3)");
  const bool v3 = options.version >= 3;
  check(v3 || options.refcount_bits == 16, options, "other refcount_bits than 16 need compat=1.1");
  check(v3 || !options.lazy_refcounts, options, "lazy_refcounts needs compat=1.1");
  check(v3 || !options.extended_l2, options, "extended_l2 needs compat=1.1");
  check(v3 || options.compression == Compression::zlib, options,
        "compression_type=zstd needs compat=1.1");
  check(v3 || options.data_file.empty(), options, "data_file needs compat=1.1");
  check(!options.extended_l2 || options.cluster_size >= 16384, options,
        "extended_l2 needs clusters of at least 16 KiB");
  check(!options.data_file_raw || !options.data_file.empty(), options,
        "data_file_raw needs data_file");
  check(!options.data_file_raw || options.backing_file.empty(), options,
        "data_file_raw and a backing file exclude each other");
  check(options.backing_file.size() <= kMaxBackingName, options,
        "the backing file's name is longer than 1023 bytes");
  check(options.backing_file.empty() || !options.backing_format.empty(), options,
        "a backing file needs its format: raw or qcow2 (backing_fmt, -F)");
  check(options.preallocation == Preallocation::off || options.backing_file.empty() ||
            options.extended_l2,
        options, "preallocation and a backing file go together only with extended_l2");
  check(options.size < uint64_t{1} << 62, options, "the size is absurd");
  const Header header = make_header(options);
  check(header.geometry().l1_entries_for(header.size) * 8 <= kMaxL1Bytes, options,
        fmt::format("clusters of {} bytes cannot map {} bytes; use larger clusters",
                    options.cluster_size, options.size));
  check(fits_first_cluster(header), options, "the header does not fit into a cluster");
}

// The header, the tables that map the disk, and the refcounts of them, of the disk's clusters and
// of themselves, for which reason they are counted until nothing is added.
uint64_t full_file_size(const Qcow2CreateOptions& options) {
  const Geometry geometry = make_header(options).geometry();
  const uint64_t cluster = geometry.cluster_size();
  const uint64_t guest = div_up(options.size, cluster);
  const uint64_t l2 = div_up(guest, geometry.l2_entries());
  const uint64_t without_refcounts = 1 + guest + l2 + div_up(l2 * 8, cluster);
  uint64_t total = 0;
  for (uint64_t next = without_refcounts; next != total;) {
    total = next;
    const uint64_t blocks = div_up(total, geometry.refcount_block_entries());
    next = without_refcounts + blocks + div_up(blocks * 8, cluster);
  }
  return total * cluster;
}

Task<void> create_qcow2(Host host, std::unique_ptr<Node> file, std::unique_ptr<Node> data,
                        Qcow2CreateOptions options, ProgressFunction progress) {
  check_create_options(options);
  // A raw data file is to show what is written there by others, too.
  if (options.data_file_raw && options.preallocation == Preallocation::off)
    options.preallocation = Preallocation::metadata;
  VMM_CHECK((data != nullptr) == !options.data_file.empty(), "a data file has a name and a node");
  Header header = make_header(options);
  const uint64_t size = header.size;
  std::error_code error = co_await write_tables(*file, std::move(header), options);
  throw_if(error, options);
  if (data && options.data_file_raw) {
    error = co_await data->resize(size);
    const bool large_device = error == std::errc::not_supported && data->limits().size >= size;
    if (large_device) error = {};
    throw_if(error, options);
  }
  if (options.preallocation == Preallocation::off) {
    error = co_await file->close();
    if (!error && data) error = co_await data->close();
    throw_if(error, options);
    co_return;
  }
  const auto given = std::make_shared<GivenNode>(GivenNode{std::move(data)});
  OpenReference opener = [given](const ImageReference&) { return hand_out(given); };
  Qcow2Options open{.path = options.path,
                    .references = References::any,
                    .data_file = options.data_file,
                    .no_backing = true};
  const std::unique_ptr<Qcow2> image =
      co_await open_qcow2(host, std::move(file), std::move(open), std::move(opener));
  error = co_await image->preallocate(0, options.preallocation, std::move(progress));
  const std::error_code last = co_await image->close();
  throw_if(error ? error : last, options);
}

}  // namespace vireo::blk
