#include "blockdev/filter/throttle.h"

#include <algorithm>
#include <utility>

#include "vmm/base/error.h"

namespace vireo::blk {

using std::chrono::nanoseconds;

bool ThrottleRates::any() const noexcept {
  return (iops.rate | iops_read.rate | iops_write.rate | bps.rate | bps_read.rate |
          bps_write.rate) != 0;
}

nanoseconds ThrottleNode::Meters::wait(TokenBucket::Time now, uint64_t length) noexcept {
  return std::max(requests.wait(now, 1), bytes.wait(now, length));
}

void ThrottleNode::Meters::take(uint64_t length) noexcept {
  requests.take(1);
  bytes.take(length);
}

ThrottleNode::ThrottleNode(EventLoop& loop, std::unique_ptr<Node> below, const ThrottleRates& rates)
    : loop_(loop),
      below_(std::move(below)),
      shared_{{rates.iops, loop.now()}, {rates.bps, loop.now()}},
      reads_{{{rates.iops_read, loop.now()}, {rates.bps_read, loop.now()}}},
      writes_{{{rates.iops_write, loop.now()}, {rates.bps_write, loop.now()}}} {}

nanoseconds ThrottleNode::wait(Lane& lane, uint64_t bytes) {
  const auto now = loop_.now();
  return std::max(shared_.wait(now, bytes), lane.own.wait(now, bytes));
}

Task<void> ThrottleNode::admit(Lane& lane, uint64_t bytes) {
  ++held_back_;
  AsyncMutex::Guard guard = co_await lane.turn.lock();
  for (nanoseconds left = wait(lane, bytes); left.count() > 0 && !hurried_;
       left = wait(lane, bytes)) {
    Pause pause{loop_, lane, left};
    co_await pause;
  }
  shared_.take(bytes);
  lane.own.take(bytes);
  if (--held_back_ == 0) hurried_ = false;
  guard.unlock();
}

void ThrottleNode::Pause::await_suspend(std::coroutine_handle<> handle) {
  lane.paused = handle;
  lane.timer = loop.after(length, [waiting = &lane] { waiting->end_pause(); });
}

void ThrottleNode::Lane::end_pause() {
  timer.reset();
  if (const auto handle = std::exchange(paused, nullptr)) handle.resume();
}

void ThrottleNode::hurry() {
  below_->hurry();
  if (held_back_ == 0) return;
  hurried_ = true;
  reads_.end_pause();
  writes_.end_pause();
}

Task<std::error_code> ThrottleNode::read(uint64_t offset, IoVecs into) {
  co_await admit(reads_, total_length(into));
  const std::error_code error = co_await below_->read(offset, std::move(into));
  co_return error;
}

Task<std::error_code> ThrottleNode::write(uint64_t offset, IoVecs from, WriteFlags flags) {
  co_await admit(writes_, total_length(from));
  const std::error_code error = co_await below_->write(offset, std::move(from), flags);
  co_return error;
}

Task<std::error_code> ThrottleNode::discard(uint64_t offset, uint64_t length) {
  co_await admit(writes_, 0);
  const std::error_code error = co_await below_->discard(offset, length);
  co_return error;
}

Task<std::error_code> ThrottleNode::zero(uint64_t offset, uint64_t length, ZeroFlags flags) {
  co_await admit(writes_, 0);
  const std::error_code error = co_await below_->zero(offset, length, flags);
  co_return error;
}

Task<Extent> ThrottleNode::extent(uint64_t offset, uint64_t length) {
  return below_->extent(offset, length);
}

}  // namespace vireo::blk
