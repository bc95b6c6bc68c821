#include "vmm/base/token_bucket.h"

#include <algorithm>

#include "vmm/base/error.h"

namespace vireo {

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

}  // namespace vireo
