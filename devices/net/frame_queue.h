// Frames that wait for the guest, first in, first out; bounded. One thread.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <span>
#include <utility>
#include <vector>

namespace vireo::dev {

class FrameQueue {
 public:
  explicit FrameQueue(size_t most_bytes) noexcept : most_bytes_(most_bytes) {}

  bool empty() const noexcept { return frames_.empty(); }
  // False when there is no room: the frame is not kept.
  bool push(std::span<const std::byte> frame) {
    if (bytes_ + frame.size() > most_bytes_) return false;
    std::vector<std::byte> copy;
    if (!spare_.empty()) {
      copy = std::move(spare_.back());
      spare_.pop_back();
    }
    copy.assign(frame.begin(), frame.end());
    bytes_ += copy.size();
    frames_.push_back(std::move(copy));
    return true;
  }
  // The first one goes there, and its length comes back: what does not fit is lost.
  size_t pop(std::span<const iovec> into) {
    std::vector<std::byte> frame = std::move(frames_.front());
    frames_.pop_front();
    bytes_ -= frame.size();
    std::span<const std::byte> rest = frame;
    for (const iovec& part : into) {
      if (rest.empty()) break;
      const size_t length = std::min(part.iov_len, rest.size());
      std::memcpy(part.iov_base, rest.data(), length);
      rest = rest.subspan(length);
    }
    const size_t length = frame.size();
    if (spare_.size() < kMostSpare) spare_.push_back(std::move(frame));
    return length;
  }

 private:
  static constexpr size_t kMostSpare = 64;
  const size_t most_bytes_;
  size_t bytes_ = 0;
  std::deque<std::vector<std::byte>> frames_;
  std::vector<std::vector<std::byte>> spare_;  // memory to use again
};

}  // namespace vireo::dev
