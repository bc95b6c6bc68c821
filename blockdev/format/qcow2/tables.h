// The tables of an open image together: the map, the allocator, and the flush that writes them in
// the order that allocator.h states.
//
// Thread: the node's loop. Errors: those of the files.
#pragma once

#include "blockdev/format/qcow2/map.h"
#include "blockdev/format/qcow2/traffic.h"

namespace vireo::blk::qcow2 {

class Tables {
 public:
  Tables(Image& image, Traffic& traffic, uint64_t cache_bytes);

  Allocator allocator;
  Map map;

  Task<std::error_code> load();  // the L1 table and, for writing, the refcount table
  // Steps 0 to 5: what has completed so far, data and tables, is on stable storage. Flushes that
  // were asked for while one is under way share the next one.
  Task<std::error_code> flush();
  // Step 6, for what has become safe.
  Task<std::error_code> release();
  // The same when no request is under way, and all of it; used by operations on the whole image.
  // Refcounts are on disk afterwards, also lazy ones.
  Task<std::error_code> settle();
  // So many clusters wait for step 6 that a flush is worth while for them alone.
  bool many_waiting() const noexcept;
  // Data was copied to a new place: it must be on disk before the L2 entry that leads there.
  void data_copied() noexcept { copied_ = true; }

 private:
  Task<std::error_code> write_tables(Map::Captured& captured);
  Task<std::error_code> flush_files();
  Task<std::error_code> flush_once();

  Image& image_;
  Traffic& traffic_;
  AsyncMutex flushing_;
  uint64_t asked_ = 0;
  uint64_t served_ = 0;
  bool copied_ = false;
  bool eager_ = false;  // settle(): lazy refcounts are written too
};

}  // namespace vireo::blk::qcow2
