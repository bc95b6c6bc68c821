// Why the block layer refuses what it is asked for, where the words of an errno would not tell: a
// std::error_code like any other, equivalent to the std::errc that it is a kind of.
//
// Any thread.
#pragma once

#include <cstdint>
#include <system_error>

namespace vireo::blk {

enum class Refusal : uint8_t {
  device_keeps_size = 1,  // not_supported, as those below
  window_keeps_size,
  node_keeps_size,
  snapshots_keep_size,
  data_file_without_snapshots,
  data_file_without_compression,
  narrow_counts_without_snapshots,
  no_metadata,
  clusters_too_small,      // file_too_large
  too_many_snapshots,      // file_too_large
  too_many_references,     // value_too_large
  snapshot_name_too_long,  // filename_too_long
  backing_name_too_long,   // filename_too_long
};
std::error_code make_error_code(Refusal refusal) noexcept;

}  // namespace vireo::blk

template <>
struct std::is_error_code_enum<vireo::blk::Refusal> : std::true_type {};
