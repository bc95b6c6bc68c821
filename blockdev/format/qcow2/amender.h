// Changing what an existing image is: its version, the width of its refcounts, lazy refcounts, the
// files that it names. The options are those of 'qemu-img amend -o'; size is Resizer's.
//
// Every step is one write of the header, made when all that it needs is on stable storage: a crash
// leaves the image as it was before the step or as it is after it.
//
// Thread: the node's loop; the caller has the image for itself, and after a change of version only
// closes it. Errors: check_amend() throws ConfigError for what cannot be; then those of the file,
// ENOSPC, EOVERFLOW for a count that is too large for the new width.
#pragma once

#include <optional>
#include <string>

#include "blockdev/format/qcow2/bitmap_directory.h"
#include "blockdev/format/qcow2/snapshots.h"

namespace vireo::blk {

struct Qcow2AmendOptions {
  std::optional<uint32_t> version;  // 3 is compat=1.1, 2 is compat=0.10
  std::optional<uint64_t> size;
  std::optional<uint32_t> refcount_bits;
  std::optional<bool> lazy_refcounts;
  std::optional<std::string> backing_file;  // empty: none
  std::optional<std::string> backing_format;
  std::optional<std::string> data_file;
  std::optional<bool> data_file_raw;
};

}  // namespace vireo::blk

namespace vireo::blk::qcow2 {

// `name` is the image's, for messages. Touches nothing.
void check_amend(const std::string& name, const Header& header,
                 const std::vector<SnapshotInfo>& snapshots, const std::vector<BitmapInfo>& bitmaps,
                 const Qcow2AmendOptions& options);

class Amender {
 public:
  Amender(Image& image, Tables& tables, Snapshots& snapshots)
      : image_(image), tables_(tables), snapshots_(snapshots) {}

  Task<std::error_code> upgrade();
  // Version 2 cannot say "zero" (Expander).
  Task<std::error_code> downgrade(ProgressFunction progress);
  // Everything else but size and refcount_bits; nothing that is not given changes.
  Task<std::error_code> rewrite_names(Qcow2AmendOptions options);
  Task<std::error_code> change_width(uint32_t refcount_bits, ProgressFunction progress);

 private:
  Task<std::error_code> switch_header(Header next);

  Image& image_;
  Tables& tables_;
  Snapshots& snapshots_;
};

}  // namespace vireo::blk::qcow2
