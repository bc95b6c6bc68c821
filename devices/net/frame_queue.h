// Frames that wait for the guest, first in, first out; bounded. One thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "devices/net/backend.h"
#include "devices/net/tcp_join.h"
#include "vmm/base/io_vecs.h"

namespace vireo::dev {

class FrameQueue {
 public:
  explicit FrameQueue(size_t most_bytes) noexcept : most_bytes_(most_bytes) {}

  bool empty() const noexcept { return frames_.empty(); }
  // Kept unless there is no room; `join` makes one of it and the last one if they are of a stream.
  void push(std::span<const std::byte> bytes, bool join) {
    if (bytes_ + bytes.size() > most_bytes_) return;
    bytes_ += bytes.size();
    if (join && !frames_.empty()) {
      Frame& last = frames_.back();
      const size_t before = last.bytes.size();
      if (join_tcp(last, bytes)) {
        bytes_ -= bytes.size() - (last.bytes.size() - before);
        return;
      }
    }
    Frame frame;
    if (!spare_.empty()) {
      frame.bytes = std::move(spare_.back());
      spare_.pop_back();
    }
    frame.bytes.assign(bytes.begin(), bytes.end());
    frames_.push_back(std::move(frame));
  }
  // The first one goes there; what does not fit is lost.
  NetBackend::Received pop(std::span<const iovec> into) {
    Frame frame = std::move(frames_.front());
    frames_.pop_front();
    bytes_ -= frame.bytes.size();
    copy_to(into, frame.bytes);
    const NetBackend::Received received{frame.header, frame.bytes.size()};
    if (spare_.size() < kMostSpare) spare_.push_back(std::move(frame.bytes));
    return received;
  }

 private:
  static constexpr size_t kMostSpare = 64;
  const size_t most_bytes_;
  size_t bytes_ = 0;
  std::deque<Frame> frames_;
  std::vector<std::vector<std::byte>> spare_;  // memory to use again
};

}  // namespace vireo::dev
