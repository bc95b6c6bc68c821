#include "blockdev/error.h"

#include <string>

namespace vireo::blk {

namespace {

class RefusalCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "block layer"; }
  std::string message(int value) const override;
  std::error_condition default_error_condition(int value) const noexcept override;
};

std::string RefusalCategory::message(int value) const {
  switch (static_cast<Refusal>(value)) {
    case Refusal::device_keeps_size:
      return "a block device has the size that the host gives it; change it there first";
    case Refusal::window_keeps_size:
      return "only a part of the file is open, and a part keeps its size";
    case Refusal::node_keeps_size:
      return "a disk of this kind keeps its size";
    case Refusal::snapshots_keep_size:
      return "version 2 of qcow2 (compat=0.10) does not record how large its snapshots are; delete "
             "them, or copy the image to compat=1.1, first";
    case Refusal::data_file_without_snapshots:
      return "its data lies in an external data file, which snapshots cannot share";
    case Refusal::data_file_without_compression:
      return "its data lies in an external data file, which cannot hold compressed clusters";
    case Refusal::narrow_counts_without_snapshots:
      return "refcount_bits=1 lets nothing be shared with a snapshot";
    case Refusal::no_metadata:
      return "a raw image has no metadata to set aside";
    case Refusal::clusters_too_small:
      return "a disk of this size needs larger clusters";
    case Refusal::too_many_snapshots:
      return "the table of its snapshots is full";
    case Refusal::too_many_references:
      return "a cluster would be shared more often than refcount_bits lets it be counted";
    case Refusal::snapshot_name_too_long:
      return "a snapshot's name has at most 65535 bytes";
    case Refusal::backing_name_too_long:
      return "the backing file's name does not fit into the image's header";
  }
  return "unknown";
}

std::error_condition RefusalCategory::default_error_condition(int value) const noexcept {
  switch (static_cast<Refusal>(value)) {
    case Refusal::clusters_too_small:
    case Refusal::too_many_snapshots:
      return std::errc::file_too_large;
    case Refusal::too_many_references:
      return std::errc::value_too_large;
    case Refusal::snapshot_name_too_long:
    case Refusal::backing_name_too_long:
      return std::errc::filename_too_long;
    default:
      return std::errc::not_supported;
  }
}

}  // namespace

std::error_code make_error_code(Refusal refusal) noexcept {
  static const RefusalCategory category;
  return {static_cast<int>(refusal), category};
}

}  // namespace vireo::blk
