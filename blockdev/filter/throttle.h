// Holds requests back so that a disk keeps to numbers of requests and of bytes per second, with
// bursts after quiet times. Reads and writes each go on in order of arrival; they wait for their
// own limits and for those they share.
//
// Reads and writes cost one request and their bytes, discards and zeroing one request of the
// writes', flushes nothing. hurry() lets go what is held back: whoever waits for the disk to become
// idle does not wait for the rate; what was let go is owed and slows later requests down.
//
// Thread: the graph's loop. Owns the node below.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <memory>

#include "blockdev/node.h"
#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/token_bucket.h"

namespace vireo::blk {

struct ThrottleRates {
  RateLimit iops{}, iops_read{}, iops_write{};  // requests: together, reads, writes
  RateLimit bps{}, bps_read{}, bps_write{};     // bytes

  bool any() const noexcept;
};

class ThrottleNode final : public Node {
 public:
  ThrottleNode(EventLoop& loop, std::unique_ptr<Node> below, const ThrottleRates& rates);

  const Limits& limits() const noexcept override { return below_->limits(); }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override { return below_->flush(); }
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  Task<std::error_code> resize(uint64_t size) override { return below_->resize(size); }
  Task<Extent> extent(uint64_t offset, uint64_t length) override;
  Task<std::error_code> close() override { return below_->close(); }
  void hurry() override;
  Node& below() noexcept { return *below_; }

 private:
  // A number of requests and one of bytes.
  struct Meters {
    RateMeter requests;
    RateMeter bytes;
    std::chrono::nanoseconds wait(TokenBucket::Time now, uint64_t length) noexcept;
    void take(uint64_t length) noexcept;
  };
  // Requests of one direction.
  struct Lane {
    Meters own;
    AsyncMutex turn{};  // whoever holds it is the next to go
    std::coroutine_handle<> paused{};
    EventLoop::Registration timer{};
    void end_pause();
  };
  // A sleep that hurry() can end; one at a time in each lane.
  struct Pause {
    EventLoop& loop;
    Lane& lane;
    std::chrono::nanoseconds length;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle);
    void await_resume() const noexcept {}
  };

  Task<void> admit(Lane& lane, uint64_t bytes);
  std::chrono::nanoseconds wait(Lane& lane, uint64_t bytes);

  EventLoop& loop_;
  std::unique_ptr<Node> below_;
  Meters shared_;
  Lane reads_;
  Lane writes_;
  size_t held_back_ = 0;
  bool hurried_ = false;  // until nothing is held back any more
};

}  // namespace vireo::blk
