// A throw-away write layer (snapshot=on): what is written goes to `upper`, at the same offsets, and
// is gone with it; `base` is only read. `upper` is an unlinked sparse file or memory.
//
// Bookkeeping is one bit per granule of 4 KiB, in pieces that exist only where something was
// written: at most 1/32768 of the disk's size. A write that covers a granule in part copies the
// granule up first, under a lock of its range. Flushes are successes: nothing is to last.
//
// Thread: the graph's loop. Owns both nodes.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "blockdev/node.h"
#include "blockdev/range_lock.h"

namespace vireo::blk {

// A growing set of granule numbers.
class GranuleSet {
 public:
  struct Run {
    bool present;
    uint64_t end;  // up to here it is so, at most the given end; beyond it may go on
  };
  Run run(uint64_t first, uint64_t end) const noexcept;
  bool has(uint64_t granule) const noexcept;
  void add(uint64_t first, uint64_t end);

 private:
  static constexpr uint64_t kPiece = 32768;
  static constexpr uint64_t kMostPieces = 4096;  // that one run() looks at
  std::unordered_map<uint64_t, std::unique_ptr<std::bitset<kPiece>>> pieces_;
};

class OverlayNode final : public Node {
 public:
  static constexpr uint32_t kGranule = 4096;

  // `upper` is empty (reads as zeros), writable and takes writes up to the size of `base`.
  OverlayNode(std::unique_ptr<Node> base, std::unique_ptr<Node> upper);

  const Limits& limits() const noexcept override { return limits_; }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override;
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  Task<std::error_code> resize(uint64_t size) override;
  Task<Extent> extent(uint64_t offset, uint64_t length) override;
  Task<std::error_code> close() override;
  void hurry() override;
  Node& base() noexcept { return *base_; }

 private:
  bool covers_granules(uint64_t offset, uint64_t length) const noexcept;
  Task<std::error_code> read_base(uint64_t offset, IoVecs into);
  Task<std::error_code> copy_up(uint64_t granule);
  Task<std::error_code> copy_up_edges(uint64_t offset, uint64_t length);

  std::unique_ptr<Node> base_;
  std::unique_ptr<Node> upper_;
  Limits limits_;
  uint64_t base_size_;  // how much of the base can still be seen
  GranuleSet written_;
  RangeLock ranges_;
};

}  // namespace vireo::blk
