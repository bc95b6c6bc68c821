#include "blockdev/filter/throttle.h"

#include <algorithm>
#include <utility>

#include "vmm/base/error.h"

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

constexpr uint64_t kLongestBurst = 3600;              // seconds
constexpr uint64_t kHighestRate = 1'000'000'000'000;  // what a burst multiplies still fits

}  // namespace

bool ThrottleRates::any() const noexcept {
  return (iops.rate | iops_read.rate | iops_write.rate | bps.rate | bps_read.rate |
          bps_write.rate) != 0;
}

void check_rate_limit(const RateLimit& limit, const std::string& what) {
  const auto refuse = [&](const char* why) { throw ConfigError(what + ": " + why); };
  if (limit.rate > kHighestRate || limit.burst > kHighestRate)
    refuse("more than 10^12 a second is no limit");
  if (limit.burst != 0 && limit.rate == 0) refuse("a burst needs the rate that it goes beyond");
  if (limit.burst != 0 && limit.burst < limit.rate) refuse("the burst is below the rate");
  if (limit.burst_length < 1 || limit.burst_length > kLongestBurst)
    refuse("a burst lasts 1 to 3600 seconds");
  if (limit.burst_length != 1 && limit.burst == 0) refuse("a burst's length needs the burst");
}

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

RateMeter::RateMeter(const RateLimit& limit, TokenBucket::Time now) noexcept
    : sustained_(limit.rate, limit.burst * limit.burst_length, now),
      peak_(limit.burst_length > 1 ? limit.burst : 0, 0, now) {}

nanoseconds RateMeter::wait(TokenBucket::Time now, uint64_t tokens) noexcept {
  return std::max(sustained_.wait(now, tokens), peak_.wait(now, tokens));
}

void RateMeter::take(uint64_t tokens) noexcept {
  sustained_.take(tokens);
  peak_.take(tokens);
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
