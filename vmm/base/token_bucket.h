// Limits of so much per second, with bursts after quiet times: of a disk's requests and bytes, of a
// network's frames and bytes.
//
// One thread; the caller says what time it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "vmm/base/event_loop.h"

namespace vireo {

// One limit. After a quiet time as much as `burst` allows for `burst_length` seconds goes at once
// or, where the burst lasts longer than a second, at that higher rate.
struct RateLimit {
  uint64_t rate = 0;          // per second; 0: no limit
  uint64_t burst = 0;         // per second; 0: a tenth of a second's worth goes at once
  uint64_t burst_length = 1;  // seconds
};

// Throws ConfigError when a limit contradicts itself; `what` names it.
void check_rate_limit(const RateLimit& limit, const std::string& what);

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

// A limit at work: a bucket for what lasts, another for the height of a long burst.
class RateMeter {
 public:
  RateMeter(const RateLimit& limit, TokenBucket::Time now) noexcept;
  std::chrono::nanoseconds wait(TokenBucket::Time now, uint64_t tokens) noexcept;
  void take(uint64_t tokens) noexcept;

 private:
  TokenBucket sustained_;
  TokenBucket peak_;
};

}  // namespace vireo
