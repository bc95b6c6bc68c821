#include "blockdev/format/qcow2/facts.h"

namespace vireo::blk::qcow2 {

namespace {

ImageSnapshot listed(const SnapshotInfo& snapshot) {
  return {.id = snapshot.id,
          .name = snapshot.name,
          .date_seconds = snapshot.date_seconds,
          .date_nanoseconds = snapshot.date_nanoseconds,
          .vm_clock_nanoseconds = snapshot.vm_clock_nanoseconds,
          .vm_state_size = snapshot.vm_state_size,
          .instructions = snapshot.instructions()};
}

// In QEMU's order; what version 2 cannot have is left out.
std::vector<ImageDetail> details_of(const Header& header, const std::vector<BitmapInfo>& bitmaps) {
  const bool v3 = header.version >= 3;
  const bool zstd = header.compression == Compression::zstd;
  std::vector<ImageDetail> details;
  details.push_back({"compat", std::string(v3 ? "1.1" : "0.10")});
  details.push_back({"compression type", std::string(zstd ? "zstd" : "zlib")});
  if (v3) details.push_back({"lazy refcounts", header.lazy_refcounts()});
  if (!bitmaps.empty()) details.push_back({"bitmaps", listed(bitmaps)});
  details.push_back({"refcount bits", uint64_t{header.geometry().refcount_bits()}});
  if (header.has_data_file()) {
    details.push_back({"data file", header.data_file()});
    details.push_back({"data file raw", header.raw_data_file()});
  }
  if (!v3) return details;
  details.push_back({"corrupt", header.corrupt()});
  details.push_back({"extended l2", header.geometry().extended_l2});
  return details;
}

}  // namespace

ImageBitmaps listed(const std::vector<BitmapInfo>& bitmaps) {
  ImageBitmaps list;
  for (const BitmapInfo& bitmap : bitmaps)
    list.push_back({.name = bitmap.name,
                    .granularity = bitmap.granularity,
                    .in_use = bitmap.in_use,
                    .automatic = bitmap.automatic,
                    .foreign = bitmap.foreign});
  return list;
}

ImageFacts facts_of(const Header& header, const std::vector<SnapshotInfo>& snapshots,
                    const std::vector<BitmapInfo>& bitmaps) {
  ImageFacts facts{.virtual_size = header.size,
                   .cluster_size = header.geometry().cluster_size(),
                   .encrypted = header.encryption != 0,
                   .dirty = header.dirty(),
                   .backing_file = header.backing_file,
                   .backing_format = header.backing_format(),
                   .data_file = header.has_data_file() ? header.data_file() : "",
                   .details = details_of(header, bitmaps)};
  for (const SnapshotInfo& snapshot : snapshots) facts.snapshots.push_back(listed(snapshot));
  return facts;
}

}  // namespace vireo::blk::qcow2
