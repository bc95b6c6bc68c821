// A node that fails the test when a request does not keep to the limits of the node below it, and
// that counts what reaches it. Put under a filter or a Disk to see that they behave.
//
// Thread: the graph's loop. Owns the node below.
#pragma once

#include <cstdint>
#include <memory>

#include "blockdev/node.h"

namespace vireo::blk::testing {

class CheckedNode final : public Node {
 public:
  // `may_grow`: requests beyond the end are in order (formats over a file).
  explicit CheckedNode(std::unique_ptr<Node> below, bool may_grow = false)
      : below_(std::move(below)), may_grow_(may_grow) {}

  struct Counts {
    size_t reads = 0, writes = 0, flushes = 0, discards = 0, zeroes = 0, closes = 0;
  };
  const Counts& counts() const noexcept { return counts_; }
  Node& below() noexcept { return *below_; }

  const Limits& limits() const noexcept override { return below_->limits(); }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override;
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  Task<std::error_code> resize(uint64_t size) override;
  Task<Extent> extent(uint64_t offset, uint64_t length) override;
  Task<std::error_code> close() override;
  void hurry() override { below_->hurry(); }

 private:
  void check_range(uint64_t offset, uint64_t length) const;
  void check_buffers(const IoVecs& vectors) const;

  std::unique_ptr<Node> below_;
  const bool may_grow_;
  Counts counts_;
};

}  // namespace vireo::blk::testing
