// Frames out of a byte stream, each behind its length in four bytes, big endian. The stream is a
// peer's: whatever it says, nothing is read beyond what came, and a length that no frame has ends
// the stream.
//
// One thread. Keeps one buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "devices/net/header.h"

namespace vireo::dev {

class FrameStream {
 public:
  static constexpr size_t kLength = 4;
  FrameStream() : buffer_(2 * (kLength + kMaxFrame)) {}

  // Where the next bytes go; not empty unless next() has a frame or the stream is broken.
  std::span<std::byte> space() noexcept;
  void filled(size_t bytes) noexcept { end_ += bytes; }
  // The next whole frame, until the next call of anything here.
  std::optional<std::span<const std::byte>> next() noexcept;
  bool broken() const noexcept { return broken_; }

 private:
  std::vector<std::byte> buffer_;
  size_t begin_ = 0;  // of what has not been given away
  size_t end_ = 0;
  bool broken_ = false;
};

}  // namespace vireo::dev
