// A node of the block graph: something with a size that can be read and written. Formats (qcow2,
// raw windows), filters (faults, throttling) and protocols (files, memory) are all nodes, each
// owning those below it; virtio-blk, `vireo image` and tests talk to the top one through a Disk
// (disk.h).
//
// Thread: a graph belongs to one EventLoop; every call is made and resumed there. Many requests may
// be under way at once; a node orders its own metadata, not the caller's overlapping requests.
// Units: bytes. Callers keep to limits(): offset and length multiples of `block`, in range, buffers
// aligned to `buffer_alignment`. Disk sees to that; nodes do not check again.
// Errors: std::error_code as the host gave it (ENOSPC, EIO, …); never exceptions.
#pragma once

#include <cstdint>
#include <system_error>
#include <vector>

#include "blockdev/debugger.h"
#include "blockdev/error.h"
#include "vmm/base/io_vecs.h"
#include "vmm/base/task.h"

namespace vireo::blk {

struct Limits {
  uint64_t size = 0;              // changes only by resize()
  uint32_t block = 1;             // request granularity; a power of two, 1..4096
  uint32_t buffer_alignment = 1;  // of each buffer's address and length; a power of two
  uint32_t logical_block = 512;   // what a guest is told: more only for devices that have more
  uint32_t optimal_block = 4096;  // what suits the node best (a cluster, a file system block)
  bool read_only = false;
  bool can_discard = false;  // discard() gives space back
  bool can_zero = false;     // zero() is cheaper than writing zeros
  bool sparse = false;       // had holes when it was opened
};

// `length` zeros to be written, which share little memory.
IoVecs zero_vectors(uint64_t length);

struct WriteFlags {
  bool fua = false;         // on stable storage when it completes
  bool compressed = false;  // formats that can do it store the clusters compressed
};
struct ZeroFlags {
  bool may_unmap = false;  // the range may become unallocated
  bool hold = false;       // the node itself holds the zeros: it will get a backing image
};

// What a range holds, as far as this node can tell without reading it.
struct Extent {
  uint64_t length = 0;    // bytes from the asked offset on, at least one block
  bool data = true;       // may hold other than zeros
  bool zero = false;      // reads as zeros
  bool allocated = true;  // this node itself holds it, not its backing image
};

class Node {
 public:
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  virtual const Limits& limits() const noexcept = 0;
  virtual Task<std::error_code> read(uint64_t offset, IoVecs into) = 0;
  virtual Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) = 0;
  // All completed writes are on stable storage.
  virtual Task<std::error_code> flush() = 0;
  // A hint; afterwards the range reads as before or as zeros. The default does nothing.
  virtual Task<std::error_code> discard(uint64_t offset, uint64_t length);
  // The range reads as zeros. The default writes them.
  virtual Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags);
  // A new size in bytes. The default refuses.
  virtual Task<std::error_code> resize(uint64_t size);
  // What lies at `offset`; `length` bounds the search. The default says "data".
  virtual Task<Extent> extent(uint64_t offset, uint64_t length);
  // Somebody waits for the requests under way: what was held back for other reasons than work goes
  // on. Filters pass it down.
  virtual void hurry() {}
  // Who is told of points in the work of what lies on this node; null: nobody.
  virtual Debugger* debugger() noexcept { return nullptr; }
  // Flushes and lets go of metadata (a qcow2's dirty tables); the last call before destruction.
  virtual Task<std::error_code> close() { return flush(); }
};

}  // namespace vireo::blk
