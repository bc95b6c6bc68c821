// The handle that users of the block layer hold: it owns a graph, checks ranges, bounces what is
// not aligned as the graph needs it, splits nothing else, counts, and can be drained.
//
// Requests that are not whole blocks become read-modify-write under a lock of their blocks, so that
// they lose nothing of a neighbour's concurrent write. resize() waits for the requests before it
// and holds up those after it.
//
// Thread: the graph's loop. Buffers live until the request has completed.
// Errors: EINVAL outside the disk or on overflow, EROFS on a read-only disk, EBADF after close(),
// else the graph's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include "blockdev/node.h"
#include "blockdev/range_lock.h"
#include "vmm/base/async_sync.h"

namespace vireo::blk {

struct DiskCounters {
  uint64_t reads = 0, writes = 0, flushes = 0, discards = 0, zeroes = 0, errors = 0;
  uint64_t bytes_read = 0, bytes_written = 0;
};

class Disk {
 public:
  Disk(std::string name, std::unique_ptr<Node> graph);
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  ~Disk();  // idle and closed, or never changed

  const std::string& name() const noexcept { return name_; }
  const Limits& limits() const noexcept { return graph_->limits(); }
  const DiskCounters& counters() const noexcept { return counters_; }

  Task<std::error_code> read(uint64_t offset, IoVecs into);
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags = {});
  Task<std::error_code> flush();
  Task<std::error_code> discard(uint64_t offset, uint64_t length);
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags = {});
  Task<std::error_code> resize(uint64_t size);
  // An extent of length 0 when there is nothing at `offset`.
  Task<Extent> extent(uint64_t offset, uint64_t length);

  size_t in_flight() const noexcept { return in_flight_; }
  // Something was, so that errors of close() may mean that it is lost.
  bool changed() const noexcept { return changed_; }
  void hurry() { graph_->hurry(); }  // requests under way are not held back by rates
  Task<void> idle();                 // hurries; resolves when nothing is in flight
  Task<std::error_code> close();     // waits for idle, then closes the graph; once is enough
  Node& graph() noexcept { return *graph_; }

 private:
  class Request;
  enum class Access : uint8_t { reads, changes };

  std::error_code check(uint64_t offset, uint64_t length, Access access) const noexcept;
  uint64_t block_down(uint64_t offset) const noexcept;
  uint64_t block_up(uint64_t offset) const noexcept;
  bool whole_blocks(uint64_t offset, uint64_t length) const noexcept;
  bool buffers_fit(const IoVecs& vectors) const noexcept;
  Task<std::error_code> read_bounced(uint64_t offset, IoVecs into);
  Task<std::error_code> write_bounced(uint64_t offset, IoVecs from, WriteFlags flags);
  Task<std::error_code> read_edges(uint64_t first, uint64_t last, IoVecs around);
  Task<std::error_code> zero_with_edges(uint64_t offset, uint64_t length, ZeroFlags flags);
  Task<std::error_code> zero_edge(uint64_t offset, uint64_t length);

  static constexpr size_t kBounces = 16;  // buffers at a time, each of up to 1 MiB

  std::string name_;
  std::unique_ptr<Node> graph_;
  Semaphore bounces_{kBounces};
  DiskCounters counters_;
  RangeLock ranges_;
  size_t in_flight_ = 0;
  bool changed_ = false;  // something that only close() brings to rest
  bool closed_ = false;
  Event idle_;
};

}  // namespace vireo::blk
