// A node that lets requests fail or come late as a script says: how tests reach error paths.
//
// Each request is compared with the rules in order; the first that matches and still has hits left
// decides. Delays run on the loop's clock.
//
// Thread: the graph's loop. Owns the node below; rules may be added while requests are under way.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <system_error>
#include <vector>

#include "blockdev/node.h"
#include "vmm/base/event_loop.h"

namespace vireo::blk {

struct FaultRule {
  enum class Operation : uint8_t { any, read, write, flush, discard, zero, resize };
  static constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

  Operation operation = Operation::any;
  uint64_t offset = 0;  // only requests that touch [offset, offset + length); flushes always do
  uint64_t length = kUnlimited;
  uint64_t skip = 0;  // this many matching requests pass first
  uint64_t hits = kUnlimited;
  std::error_code error{};  // none: the request is only late
  std::chrono::nanoseconds delay{0};
  bool torn = false;  // a failing write has written its first half, in whole blocks
};

class FaultNode final : public Node {
 public:
  // `block`: limits() tells at least this one, a power of two up to 4096.
  FaultNode(EventLoop& loop, std::unique_ptr<Node> below, std::vector<FaultRule> rules = {},
            uint32_t block = 1);

  void add(FaultRule rule) { rules_.push_back(rule); }
  void clear() { rules_.clear(); }
  uint64_t faults() const noexcept { return faults_; }  // requests that were made to fail

  const Limits& limits() const noexcept override;
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override;
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  Task<std::error_code> resize(uint64_t size) override;
  Task<Extent> extent(uint64_t offset, uint64_t length) override;
  Task<std::error_code> close() override { return below_->close(); }
  void hurry() override { below_->hurry(); }

 private:
  struct Fate {
    std::error_code error{};
    bool torn = false;
  };
  FaultRule* matching(FaultRule::Operation operation, uint64_t offset, uint64_t length) noexcept;
  Task<Fate> fate(FaultRule::Operation operation, uint64_t offset, uint64_t length);

  EventLoop& loop_;
  std::unique_ptr<Node> below_;
  std::vector<FaultRule> rules_;
  const uint32_t block_;
  mutable Limits limits_;  // as of the last limits(): the size below may change
  uint64_t faults_ = 0;
};

}  // namespace vireo::blk
