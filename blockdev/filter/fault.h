// A node that lets requests fail or come late as a script says: how tests reach error paths.
//
// Each request is compared with the rules in order; the first that matches and still has hits left
// decides. Delays run on the loop's clock. A rule with an event sleeps until the work on the node
// comes to that event; from then on it is like the others, as in QEMU's blkdebug.
//
// Thread: the graph's loop. Owns the node below; rules may be added while requests are under way.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <system_error>
#include <vector>

#include "blockdev/node.h"
#include "vmm/base/async_sync.h"
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
  DebugEvent event = DebugEvent::none;
  uint32_t state = 0;      // the event counts only in this state of the node's; 0: in any
  uint32_t new_state = 0;  // all that the rule does is to change the state; 0: it does not
};

// What the node makes of requests that a device would not take as they are.
struct FaultLimits {
  uint32_t block = 1;        // limits() tells at least this one, a power of two up to 4096
  uint64_t zero_unit = 0;    // only whole units are zeroed, the rest is written; 0: anything is
  uint64_t zero_length = 0;  // in one request at most, in whole units; 0: no limit

  bool any() const noexcept { return block > 1 || zero_unit > 0 || zero_length > 0; }
};

class FaultNode final : public Node, public Debugger {
 public:
  FaultNode(EventLoop& loop, std::unique_ptr<Node> below, std::vector<FaultRule> rules = {},
            FaultLimits kept = {});

  void add(FaultRule rule) { rules_.push_back({rule, rule.event == DebugEvent::none}); }
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
  Debugger* debugger() noexcept override { return this; }
  Node& below() noexcept { return *below_; }

  Task<void> at(DebugEvent event) override;
  void stop_at(DebugEvent event, std::string tag, std::function<void()> reached) override;
  bool is_stopped(const std::string& tag) const override;
  void go_on(const std::string& tag) override;
  void go_on() override;

 private:
  struct Rule : FaultRule {
    bool awake = true;
  };
  // From being set until whoever stopped there has gone on. In a list: they are waited at.
  struct Stop {
    DebugEvent event;
    std::string tag;
    std::function<void()> tell;
    bool reached = false;
    Event resumed{};
    bool holds(const std::string& name) const noexcept {
      return tag == name && reached && !resumed.is_set();
    }
  };
  struct Fate {
    std::error_code error{};
    bool torn = false;
  };
  void wake(DebugEvent event) noexcept;
  Rule* matching(FaultRule::Operation operation, uint64_t offset, uint64_t length) noexcept;
  uint64_t zero_piece(uint64_t offset, uint64_t length) const noexcept;
  Task<Fate> fate(FaultRule::Operation operation, uint64_t offset, uint64_t length);

  EventLoop& loop_;
  std::unique_ptr<Node> below_;
  std::vector<Rule> rules_;
  std::list<Stop> stops_;
  uint32_t state_ = 1;
  const FaultLimits kept_;
  mutable Limits limits_;  // as of the last limits(): the size below may change
  uint64_t faults_ = 0;
};

}  // namespace vireo::blk
