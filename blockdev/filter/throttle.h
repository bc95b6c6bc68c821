// Holds requests back so that a disk keeps to a number of requests and of bytes per second, with
// bursts after quiet times. Requests go on in order of arrival.
//
// Reads and writes cost one request and their bytes, discards and zeroing one request, flushes
// nothing. hurry() lets go what is held back: whoever waits for the disk to become idle does not
// wait for the rate; what was let go is owed and slows later requests down.
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

namespace vireo::blk {

// 0 means no limit; a burst of 0 means a tenth of a second's worth.
struct ThrottleRates {
  uint64_t iops = 0;        // requests per second
  uint64_t iops_burst = 0;  // requests at once after a quiet time
  uint64_t bps = 0;         // bytes per second
  uint64_t bps_burst = 0;   // bytes at once after a quiet time

  bool any() const noexcept { return iops != 0 || bps != 0; }
};

// Fills up at `rate` tokens a second to `burst`. What is larger than the bucket may be taken when
// it is full; the rest is a debt.
class TokenBucket {
 public:
  using Time = EventLoop::Clock::time_point;

  TokenBucket(uint64_t rate, uint64_t burst, Time now) noexcept;
  // How long until `tokens` may be taken.
  std::chrono::nanoseconds wait(Time now, uint64_t tokens) noexcept;
  void take(uint64_t tokens) noexcept;

 private:
  double rate_;  // 0: no limit
  double burst_;
  double content_;
  Time filled_;
};

class ThrottleNode final : public Node {
 public:
  ThrottleNode(EventLoop& loop, std::unique_ptr<Node> below, ThrottleRates rates);

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

 private:
  Task<void> admit(uint64_t bytes);
  std::chrono::nanoseconds wait(uint64_t bytes);

  // A sleep that hurry() can end; one at a time.
  struct Pause {
    ThrottleNode& node;
    std::chrono::nanoseconds length;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle);
    void await_resume() const noexcept {}
  };
  void end_pause();

  EventLoop& loop_;
  std::unique_ptr<Node> below_;
  TokenBucket requests_;
  TokenBucket bytes_;
  AsyncMutex turn_;  // whoever holds it is the next to go
  size_t held_back_ = 0;
  bool hurried_ = false;  // until nothing is held back any more
  std::coroutine_handle<> paused_{};
  EventLoop::Registration timer_;
};

}  // namespace vireo::blk
