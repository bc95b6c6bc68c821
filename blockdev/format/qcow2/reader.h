// Reading guest data: data, zero, compressed and backing clusters, in as few requests as the layout
// allows, pieces side by side.
//
// Thread: the node's loop. Errors: those of the files and of the backing image, EIO for impossible
// entries.
#pragma once

#include <memory>

#include "blockdev/format/qcow2/compress.h"
#include "blockdev/format/qcow2/map.h"

namespace vireo::blk::qcow2 {

class Reader {
 public:
  Reader(Image& image, Map& map, std::unique_ptr<Node> backing);

  // A range inside the L1 table's coverage; zeros beyond the end of the disk.
  Task<std::error_code> read(uint64_t guest, IoVecs into);
  // True when the range is known to read as zeros, without reading data. May miss some.
  Task<Outcome<bool>> reads_zero(uint64_t guest, uint64_t length);
  // What this image says of a range: one run.
  Task<Extent> extent(uint64_t guest, uint64_t length);
  // A run that is known to be data may be read directly from where it is.
  bool direct(const Mapping& run) const noexcept {
    return run.kind == Kind::data && guest_file_.contains(run.host, run.length);
  }

  Node* backing() noexcept { return backing_.get(); }
  void replace_backing(std::unique_ptr<Node> backing) { backing_ = std::move(backing); }
  Decompressor& decompressor() noexcept { return decompressor_; }

 private:
  Task<std::error_code> read_run(Mapping run, uint64_t guest, IoVecs into);
  Task<std::error_code> read_backing(uint64_t guest, IoVecs into);
  Task<Extent> backing_extent(uint64_t guest, uint64_t length);
  uint64_t backing_size() const noexcept;

  Image& image_;
  Map& map_;
  HostFile& guest_file_;
  std::unique_ptr<Node> backing_;
  Decompressor decompressor_;
};

}  // namespace vireo::blk::qcow2
