#include "blockdev/format/qcow2/amender.h"

#include <algorithm>
#include <bit>

#include <fmt/core.h>

#include "blockdev/format/qcow2/expander.h"
#include "vmm/base/error.h"

namespace vireo::blk::qcow2 {

namespace {

class AmendCheck {
 public:
  AmendCheck(const std::string& name, const Header& header, const Qcow2AmendOptions& options)
      : name_(name),
        header_(header),
        options_(options),
        version_(options.version.value_or(header.version)) {}

  void version() const;
  void downgrade(const std::vector<SnapshotInfo>& snapshots,
                 const std::vector<BitmapInfo>& bitmaps) const;
  void names() const;

 private:
  void need(bool good, const std::string& why) const {
    if (!good) throw ConfigError(fmt::format("cannot amend '{}': {}", name_, why));
  }

  const std::string& name_;
  const Header& header_;
  const Qcow2AmendOptions& options_;
  const uint32_t version_;
};

void AmendCheck::version() const {
  need(version_ == 2 || version_ == 3, "compat is 0.10 (version 2) or 1.1 (version 3)");
  const uint32_t bits = options_.refcount_bits.value_or(header_.geometry().refcount_bits());
  need(std::has_single_bit(bits) && bits <= 64, "refcount_bits is a power of two and at most 64");
  need(version_ >= 3 || bits == 16, "compat=0.10 needs refcount_bits=16");
  need(version_ >= 3 || !options_.lazy_refcounts.value_or(false),
       "lazy_refcounts needs compat=1.1");
}

// What only version 3 can say, with QEMU's reasons.
void AmendCheck::downgrade(const std::vector<SnapshotInfo>& snapshots,
                           const std::vector<BitmapInfo>& bitmaps) const {
  if (version_ >= 3 || header_.version < 3) return;
  need(!header_.has_data_file(), "an image with a data file needs compat=1.1");
  const uint64_t features = header_.incompatible & ~kIncompatibleDirty;
  need(features == 0, fmt::format("its incompatible features {:#x} (compression type, extended L2 "
                                  "entries, …) need compat=1.1",
                                  features));
  need(bitmaps.empty(), "its bitmaps need compat=1.1; remove them with 'vireo image bitmap'");
  const uint64_t size = options_.size.value_or(header_.size);
  for (const SnapshotInfo& info : snapshots)
    need((info.disk_size == 0 || info.disk_size == size) && info.vm_state_size <= ~uint32_t{0},
         fmt::format("its snapshot '{}' has another size than the disk, or a machine state above "
                     "4 GiB, which needs compat=1.1",
                     info.name));
}

void AmendCheck::names() const {
  const std::string backing = options_.backing_file.value_or(header_.backing_file);
  const std::string format = options_.backing_format.value_or(header_.backing_format());
  need(backing.size() <= kMaxBackingName, "the backing file's name is longer than 1023 bytes");
  need(backing.empty() || !options_.backing_file || !format.empty(),
       "a backing file needs its format: raw or qcow2 (backing_fmt)");
  need(!backing.empty() || options_.backing_format.value_or("").empty(),
       "backing_fmt is about a backing file, and it has none");
  need(!options_.data_file || header_.has_data_file(),
       "data_file can only be set for an image that has one");
  need(!options_.data_file || !options_.data_file->empty(), "data_file is a name");
  need(!options_.data_file_raw.value_or(false) || header_.raw_data_file(),
       "data_file_raw cannot be set on an existing image");
  need(backing.empty() || !header_.raw_data_file() || !options_.data_file_raw.value_or(true),
       "data_file_raw and a backing file exclude each other");
}

}  // namespace

void check_amend(const std::string& name, const Header& header,
                 const std::vector<SnapshotInfo>& snapshots, const std::vector<BitmapInfo>& bitmaps,
                 const Qcow2AmendOptions& options) {
  const AmendCheck check(name, header, options);
  check.version();
  check.downgrade(snapshots, bitmaps);
  check.names();
}

// Everything that `next` leads to is written, but not yet on stable storage.
Task<std::error_code> Amender::switch_header(Header next) {
  std::error_code error;
  if (!make_fit(next)) error = std::make_error_code(std::errc::filename_too_long);
  if (!error) error = co_await tables_.settle();
  if (error) co_return error;
  const Header before = image_.header;
  image_.header = std::move(next);
  error = co_await image_.write_header();
  if (!error) error = co_await image_.file.flush();
  if (error) image_.header = before;
  image_.geometry = image_.header.geometry();
  co_return error;
}

// Version 3 wants the disk's size in every snapshot.
Task<std::error_code> Amender::upgrade() {
  std::vector<SnapshotInfo> list = snapshots_.list();
  for (SnapshotInfo& info : list)
    if (info.disk_size == 0) info.disk_size = image_.header.size;
  const bool none = list.empty();
  const Outcome<uint64_t> table = co_await snapshots_.write_list(std::move(list));
  if (table.error) co_return table.error;
  const HostRange old{image_.header.snapshots_offset, image_.snapshot_table_bytes};
  Header next = image_.header;
  next.version = 3;
  next.header_length = kHeaderLengthV3;
  next.unknown_fields.assign(kHeaderLengthV3 - kLeastHeaderLengthV3 - 1, std::byte{0});
  next.snapshots_offset = table.value;
  std::erase_if(next.extensions,
                [](const HeaderExtension& e) { return e.type == kExtensionFeatureNames; });
  next.extensions.push_back(feature_names());
  std::error_code error = co_await switch_header(std::move(next));
  if (error || none) co_return error;
  tables_.allocator.free_later(old.offset, old.length);
  error = co_await snapshots_.load();
  if (!error) error = co_await tables_.settle();
  co_return error;
}

Task<std::error_code> Amender::downgrade(ProgressFunction progress) {
  Expander expander(image_, tables_, snapshots_);
  std::error_code error = co_await expander.run(std::move(progress));
  if (!error) error = co_await image_.set_dirty(false);
  if (error) co_return error;
  Header next = image_.header;
  next.version = 2;
  next.header_length = kHeaderLengthV2;
  next.unknown_fields.clear();
  next.incompatible = next.compatible = next.autoclear = 0;
  std::erase_if(next.extensions, [](const HeaderExtension& e) {
    return e.type == kExtensionFeatureNames || e.type == kExtensionBitmaps;
  });
  co_return co_await switch_header(std::move(next));
}

Task<std::error_code> Amender::rewrite_names(Qcow2AmendOptions options) {
  Header next = image_.header;
  if (options.backing_file) next.backing_file = *options.backing_file;
  if (options.backing_format)
    next.set_text_extension(kExtensionBackingFormat, *options.backing_format);
  if (next.backing_file.empty()) next.set_text_extension(kExtensionBackingFormat, "");
  if (options.data_file) next.set_text_extension(kExtensionDataFile, *options.data_file);
  if (!options.data_file_raw.value_or(true)) next.autoclear &= ~kAutoclearRawData;
  const bool lazy = options.lazy_refcounts.value_or(next.lazy_refcounts());
  next.compatible &= ~kCompatibleLazyRefcounts;
  if (lazy) next.compatible |= kCompatibleLazyRefcounts;
  if (next == image_.header) co_return std::error_code{};
  std::error_code error = co_await tables_.settle();
  if (!error && !lazy) error = co_await image_.set_dirty(false);  // all counts are on disk
  next.incompatible = image_.header.incompatible;
  if (!error) error = co_await switch_header(std::move(next));
  co_return error;
}

Task<std::error_code> Amender::change_width(uint32_t refcount_bits, ProgressFunction progress) {
  const auto order = static_cast<uint32_t>(std::countr_zero(refcount_bits));
  if (order == image_.header.refcount_order) co_return std::error_code{};
  std::error_code error = co_await tables_.settle();
  if (!error) error = co_await tables_.allocator.change_order(order, std::move(progress));
  if (!error) error = co_await image_.file.flush();
  co_return error;
}

}  // namespace vireo::blk::qcow2
