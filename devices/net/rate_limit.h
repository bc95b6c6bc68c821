// Keeps one direction of a network interface to a number of bytes and of frames per second, with
// bursts after quiet times.
//
// Thread: the device's loop.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "blockdev/filter/throttle.h"

namespace vireo::dev {

// 0 means no limit; a burst of 0 means a tenth of a second's worth.
struct NetRates {
  uint64_t bps = 0;  // bytes per second
  uint64_t bps_burst = 0;
  uint64_t pps = 0;  // frames per second
  uint64_t pps_burst = 0;
  bool any() const noexcept { return bps != 0 || pps != 0; }
};

class RateLimit {
 public:
  using Time = blk::TokenBucket::Time;
  RateLimit(const NetRates& rates, Time now) noexcept
      : limited_(rates.any()),
        bytes_(rates.bps, rates.bps_burst, now),
        frames_(rates.pps, rates.pps_burst, now) {}

  bool limited() const noexcept { return limited_; }
  // How long until another frame may go. Its length need not be known: what it takes beyond the
  // burst, later ones wait for.
  std::chrono::nanoseconds wait(Time now) noexcept {
    return std::max(bytes_.wait(now, 1), frames_.wait(now, 1));
  }
  void take(size_t bytes) noexcept {
    bytes_.take(bytes);
    frames_.take(1);
  }

 private:
  bool limited_;
  blk::TokenBucket bytes_;
  blk::TokenBucket frames_;
};

}  // namespace vireo::dev
