#include "devices/net/frame_stream.h"

#include <cstring>

namespace vireo::dev {

// The rest of a frame always fits behind its beginning once that lies at the front.
std::span<std::byte> FrameStream::space() noexcept {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span(buffer_).subspan(end_);
}

std::optional<std::span<const std::byte>> FrameStream::next() noexcept {
  if (broken_ || end_ - begin_ < kLength) return std::nullopt;
  be32 wire;
  std::memcpy(&wire, buffer_.data() + begin_, kLength);
  const size_t length = wire;
  broken_ = length == 0 || length > kMaxFrame;
  if (broken_ || end_ - begin_ - kLength < length) return std::nullopt;
  const auto frame = std::span(buffer_).subspan(begin_ + kLength, length);
  begin_ += kLength + length;
  return frame;
}

}  // namespace vireo::dev
