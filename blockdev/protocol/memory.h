// A disk in memory that lives as long as the node: scratch disks, throw-away write layers, tests.
// Pages are taken when they are first written and given back by discard() and zero().
//
// As with files, reads beyond the end give zeros, writes there make it longer.
//
// Thread: the graph's loop; requests complete at once. Owns the mapping.
// Errors: the constructor throws std::system_error; growing can fail with ENOMEM.
#pragma once

#include <cstddef>
#include <cstdint>

#include "blockdev/node.h"

namespace vireo::blk {

class MemoryNode final : public Node {
 public:
  // `block` (a power of two up to 4096) is also what buffers have to be aligned to.
  explicit MemoryNode(uint64_t size, uint32_t block = 1);
  ~MemoryNode() override;

  const Limits& limits() const noexcept override { return limits_; }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override;
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  Task<std::error_code> resize(uint64_t size) override;
  Task<Extent> extent(uint64_t offset, uint64_t length) override;

 private:
  std::error_code reserve(uint64_t bytes) noexcept;
  void clear(uint64_t offset, uint64_t length) noexcept;
  bool page_is_zero(uint64_t page) const noexcept;

  Limits limits_;
  std::byte* bytes_ = nullptr;  // zeros from limits_.size on
  uint64_t capacity_ = 0;       // of the mapping: whole pages
};

}  // namespace vireo::blk
