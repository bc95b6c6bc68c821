// Keeps one direction of a network interface to a number of bytes and of frames per second, with
// bursts after quiet times.
//
// Thread: the device's loop.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "vmm/base/token_bucket.h"

namespace vireo::dev {

struct NetRates {
  RateLimit bps{};  // bytes
  RateLimit pps{};  // frames
  bool any() const noexcept { return bps.rate != 0 || pps.rate != 0; }
};

class NetRateMeter {
 public:
  using Time = TokenBucket::Time;
  NetRateMeter(const NetRates& rates, Time now) noexcept
      : limited_(rates.any()), bytes_(rates.bps, now), frames_(rates.pps, now) {}

  bool limited() const noexcept { return limited_; }
  // How long until another frame may go. Its length need not be known: what it takes beyond the
  // limit, later ones wait for.
  std::chrono::nanoseconds wait(Time now) noexcept {
    return std::max(bytes_.wait(now, 1), frames_.wait(now, 1));
  }
  void take(size_t bytes) noexcept {
    bytes_.take(bytes);
    frames_.take(1);
  }

 private:
  bool limited_;
  RateMeter bytes_;
  RateMeter frames_;
};

}  // namespace vireo::dev
