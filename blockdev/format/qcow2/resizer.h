// Growing and shrinking the disk of an image.
//
// Thread: the node's loop; the caller has the image for himself. Growing reads as zeros, whatever
// the backing image or an old last cluster holds there. Shrinking first makes the disk smaller on
// disk, then lets go what lies beyond.
// Errors: those of the files; EFBIG beyond what the L1 table can map; ENOTSUP for version 2 with
// snapshots, whose sizes it does not record.
#pragma once

#include "blockdev/format/qcow2/writer.h"

namespace vireo::blk::qcow2 {

class Resizer {
 public:
  Resizer(Image& image, Tables& tables, Reader& reader, Writer& writer)
      : image_(image), tables_(tables), reader_(reader), writer_(writer) {}

  Task<std::error_code> resize(uint64_t size);
  // Makes the L1 table long enough to map what lies before `end`; the disk keeps its size.
  Task<std::error_code> map_up_to(uint64_t end);

 private:
  Task<std::error_code> grow(uint64_t size);
  Task<std::error_code> grow_l1(uint64_t entries);
  Task<std::error_code> zero_new_part(uint64_t old_size);
  Task<std::error_code> shrink(uint64_t size);
  Task<std::error_code> cut_table(uint64_t size);
  Task<std::error_code> publish_size(uint64_t size);

  Image& image_;
  Tables& tables_;
  Reader& reader_;
  Writer& writer_;
};

}  // namespace vireo::blk::qcow2
