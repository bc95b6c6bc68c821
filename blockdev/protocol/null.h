// A disk that takes no space: it reads as zeros and drops what is written. For measuring, and for
// scripts that need a disk whose content does not matter.
//
// Thread: the graph's loop; requests complete at once.
#pragma once

#include "blockdev/node.h"

namespace vireo::blk {

class NullNode final : public Node {
 public:
  explicit NullNode(uint64_t size) : limits_{.size = size, .can_discard = true, .can_zero = true} {}

  const Limits& limits() const noexcept override { return limits_; }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  Task<std::error_code> resize(uint64_t size) override;
  Task<Extent> extent(uint64_t offset, uint64_t length) override;

 private:
  Limits limits_;
};

}  // namespace vireo::blk
