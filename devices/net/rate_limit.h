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

struct NetRates {
  blk::RateLimit bps{};  // bytes
  blk::RateLimit pps{};  // frames
  bool any() const noexcept { return bps.rate != 0 || pps.rate != 0; }
};

class NetRateMeter {
 public:
  using Time = blk::TokenBucket::Time;
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
  blk::RateMeter bytes_;
  blk::RateMeter frames_;
};

}  // namespace vireo::dev
