// A host file as a format sees it: reads beyond its end are zeros, writes grow it, and growth is
// remembered so that clusters that were never written are known to be zeros. Also the buffers and
// results that the metadata code hands around.
//
// Thread: the node's loop. Offsets and lengths are multiples of the node's block; Buffers are
// aligned for every node. Errors: the node's; ENOSPC when a file that cannot grow is full.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <system_error>
#include <vector>

#include "blockdev/node.h"
#include "vmm/base/async_sync.h"

namespace vireo::blk::qcow2 {

// A value or an error, out of a Task.
template <class T>
struct Outcome {
  std::error_code error{};
  T value{};
};

inline std::error_code io_error() noexcept {
  return std::make_error_code(std::errc::io_error);
}

class SlicePool;

struct BufferFree {
  SlicePool* pool = nullptr;  // null: the heap
  void operator()(std::byte* bytes) const noexcept;
};

// Bytes aligned to a page (those of a SlicePool: to their size). Throws std::bad_alloc.
class Buffer {
 public:
  static constexpr size_t kAlignment = 4096;

  Buffer() = default;
  explicit Buffer(size_t size);  // not initialised
  static Buffer zeros(size_t size);
  static Buffer copy_of(std::span<const std::byte> bytes);

  size_t size() const noexcept { return size_; }
  std::byte* data() noexcept { return data_.get(); }
  const std::byte* data() const noexcept { return data_.get(); }
  std::span<std::byte> bytes() noexcept { return {data_.get(), size_}; }
  std::span<const std::byte> bytes() const noexcept { return {data_.get(), size_}; }
  iovec vector() noexcept { return {data_.get(), size_}; }

 private:
  friend SlicePool;
  std::unique_ptr<std::byte, BufferFree> data_;
  size_t size_ = 0;
};

// Buffers of one size, which are taken from the heap many at a time: it would spend as much again
// on aligning each page. What is given back is kept for the next one. Outlives its buffers.
class SlicePool {
 public:
  explicit SlicePool(uint32_t slice_size) noexcept : slice_size_(slice_size) {}
  Buffer take();  // not initialised
  Buffer zeros();
  Buffer copy_of(std::span<const std::byte> slice);
  void give_back(std::byte* slice) noexcept { free_.push_back(slice); }  // never has to grow

 private:
  void grow();

  const uint32_t slice_size_;
  std::vector<Buffer> slabs_;
  std::vector<std::byte*> free_;
};

// Runs tasks side by side, at most `limit` at a time, and keeps the first error.
//   co_await gather.add(std::move(task)); ... error = co_await gather.done();
// Must be done() before it is destroyed.
class Gather {
 public:
  explicit Gather(size_t limit) noexcept : places_(limit) {}
  Task<void> add(Task<std::error_code> task);
  Task<std::error_code> done();
  const std::error_code& error() const noexcept { return error_; }

 private:
  Task<void> run(Task<std::error_code> task);

  Semaphore places_;
  Scope scope_;
  std::error_code error_;
};

class HostFile {
 public:
  explicit HostFile(std::unique_ptr<Node> node);

  Node& node() noexcept { return *node_; }
  // if (Debugger* const debugger = file.debugger()) co_await debugger->at(DebugEvent::l2_load);
  Debugger* debugger() const noexcept { return debugger_; }
  const Node& node() const noexcept { return *node_; }
  uint64_t size() const noexcept { return node_->limits().size; }
  bool contains(uint64_t offset, uint64_t length) const noexcept {
    return offset <= size() && length <= size() - offset;
  }

  Task<std::error_code> read(uint64_t offset, IoVecs into);
  Task<std::error_code> read(uint64_t offset, Buffer& into);
  Task<std::error_code> write(uint64_t offset, IoVecs from);
  Task<std::error_code> write(uint64_t offset, Buffer& from);
  Task<std::error_code> flush() { return node_->flush(); }

  // Makes the file at least `end` bytes long, and longer in advance when `ahead` is set (allocating
  // writes then seldom wait for it). Close cuts off what was not used.
  Task<std::error_code> reserve(uint64_t end, bool ahead);
  // Everything from here on was gained by growth and has never been written.
  uint64_t untouched_from() const noexcept { return untouched_from_; }
  void touched(uint64_t end) noexcept { untouched_from_ = std::max(untouched_from_, end); }
  // Gives back what reserve() took in advance.
  Task<std::error_code> trim(uint64_t used_end);
  // Ends the file at `end` if it is longer and can be cut.
  Task<std::error_code> cut(uint64_t end);
  Task<std::error_code> close() { return node_->close(); }

 private:
  std::unique_ptr<Node> node_;
  Debugger* const debugger_;  // or null
  uint64_t untouched_from_;
  bool grown_ = false;
  AsyncMutex growing_;
};

}  // namespace vireo::blk::qcow2
