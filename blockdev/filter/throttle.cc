#include "blockdev/filter/throttle.h"

#include <algorithm>
#include <utility>

namespace vireo::blk {

using std::chrono::nanoseconds;

namespace {

// Timers come to the millisecond; a bucket that holds less than some of them would keep the rate
// from being reached.
double largest_content(uint64_t rate, uint64_t burst) noexcept {
  const auto per_second = static_cast<double>(rate);
  const double wanted = burst != 0 ? static_cast<double>(burst) : per_second / 10;
  return std::max({wanted, per_second / 100, 1.0});
}

}  // namespace

TokenBucket::TokenBucket(uint64_t rate, uint64_t burst, Time now) noexcept
    : rate_(static_cast<double>(rate)),
      burst_(largest_content(rate, burst)),
      content_(burst_),
      filled_(now) {}

nanoseconds TokenBucket::wait(Time now, uint64_t tokens) noexcept {
  if (rate_ == 0) return nanoseconds(0);
  const std::chrono::duration<double> passed = now - filled_;
  content_ = std::min(burst_, content_ + passed.count() * rate_);
  filled_ = now;
  const double missing = std::min(static_cast<double>(tokens), burst_) - content_;
  if (missing <= 0) return nanoseconds(0);
  const double seconds = std::min(missing / rate_, 3600.0);
  return std::chrono::ceil<nanoseconds>(std::chrono::duration<double>(seconds));
}

void TokenBucket::take(uint64_t tokens) noexcept {
  if (rate_ != 0) content_ -= static_cast<double>(tokens);
}

ThrottleNode::ThrottleNode(EventLoop& loop, std::unique_ptr<Node> below, ThrottleRates rates)
    : loop_(loop),
      below_(std::move(below)),
      requests_(rates.iops, rates.iops_burst, loop.now()),
      bytes_(rates.bps, rates.bps_burst, loop.now()) {}

nanoseconds ThrottleNode::wait(uint64_t bytes) {
  const auto now = loop_.now();
  return std::max(requests_.wait(now, 1), bytes_.wait(now, bytes));
}

Task<void> ThrottleNode::admit(uint64_t bytes) {
  ++held_back_;
  AsyncMutex::Guard guard = co_await turn_.lock();
  for (nanoseconds left = wait(bytes); left.count() > 0 && !hurried_; left = wait(bytes)) {
    Pause pause{*this, left};
    co_await pause;
  }
  requests_.take(1);
  bytes_.take(bytes);
  if (--held_back_ == 0) hurried_ = false;
  guard.unlock();
}

void ThrottleNode::Pause::await_suspend(std::coroutine_handle<> handle) {
  node.paused_ = handle;
  node.timer_ = node.loop_.after(length, [throttle = &node] { throttle->end_pause(); });
}

void ThrottleNode::end_pause() {
  timer_.reset();
  if (const auto handle = std::exchange(paused_, nullptr)) handle.resume();
}

void ThrottleNode::hurry() {
  below_->hurry();
  if (held_back_ == 0) return;
  hurried_ = true;
  end_pause();
}

Task<std::error_code> ThrottleNode::read(uint64_t offset, IoVecs into) {
  co_await admit(total_length(into));
  const std::error_code error = co_await below_->read(offset, std::move(into));
  co_return error;
}

Task<std::error_code> ThrottleNode::write(uint64_t offset, IoVecs from, WriteFlags flags) {
  co_await admit(total_length(from));
  const std::error_code error = co_await below_->write(offset, std::move(from), flags);
  co_return error;
}

Task<std::error_code> ThrottleNode::discard(uint64_t offset, uint64_t length) {
  co_await admit(0);
  const std::error_code error = co_await below_->discard(offset, length);
  co_return error;
}

Task<std::error_code> ThrottleNode::zero(uint64_t offset, uint64_t length, ZeroFlags flags) {
  co_await admit(0);
  const std::error_code error = co_await below_->zero(offset, length, flags);
  co_return error;
}

Task<Extent> ThrottleNode::extent(uint64_t offset, uint64_t length) {
  return below_->extent(offset, length);
}

}  // namespace vireo::blk
