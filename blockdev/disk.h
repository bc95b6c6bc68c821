// The handle that users of the block layer hold: it owns a graph, checks ranges, bounces what is
// not aligned as the graph needs it, splits nothing else, counts, and can be drained.
//
// Thread: the graph's loop. Buffers live until the request has completed.
// Errors: EINVAL outside the disk or on overflow, EROFS on a read-only disk, else the graph's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include "blockdev/node.h"
#include "vmm/base/async_sync.h"

namespace vireo::blk {

struct DiskCounters {
  uint64_t reads = 0, writes = 0, flushes = 0, discards = 0, zeroes = 0, errors = 0;
  uint64_t bytes_read = 0, bytes_written = 0;
};

class Disk {
 public:
  Disk(std::string name, std::unique_ptr<Node> graph);
  ~Disk();  // idle and closed, or never used

  const std::string& name() const noexcept { return name_; }
  const Limits& limits() const noexcept { return graph_->limits(); }
  const DiskCounters& counters() const noexcept { return counters_; }

  Task<std::error_code> read(uint64_t offset, IoVecs into);
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags = {});
  Task<std::error_code> flush();
  Task<std::error_code> discard(uint64_t offset, uint64_t length);
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags = {});
  Task<std::error_code> resize(uint64_t size);
  Task<Extent> extent(uint64_t offset, uint64_t length);

  size_t in_flight() const noexcept { return in_flight_; }
  Task<void> idle();              // resolves when nothing is in flight
  Task<std::error_code> close();  // waits for idle, then closes the graph
  Node& graph() noexcept { return *graph_; }

 private:
  class Request;
  std::error_code check(uint64_t offset, uint64_t length, bool changes) const noexcept;

  std::string name_;
  std::unique_ptr<Node> graph_;
  DiskCounters counters_;
  size_t in_flight_ = 0;
  Event idle_;
};

}  // namespace vireo::blk
