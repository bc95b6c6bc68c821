// Frames out of a byte stream (wire.h). The stream is a peer's: whatever it says, nothing is read
// beyond what came, and a frame that is longer than the buffer, or has a reserved bit set, ends the
// stream.
//
// One thread. Owns nothing: the buffer is the caller's, and outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "agent/wire.h"

namespace vireo::agent {

struct Frame {
  uint32_t channel = 0;
  uint16_t type = 0;
  Bytes payload{};
};

class FrameReader {
 public:
  // Takes frames that fit the buffer, header included.
  explicit FrameReader(std::span<std::byte> buffer) noexcept : buffer_(buffer) {}

  // Where the next bytes go; not empty unless next() has a frame or the stream is broken.
  std::span<std::byte> space() noexcept {
    if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    return buffer_.subspan(end_);
  }
  void filled(size_t bytes) noexcept { end_ += bytes; }

  // The next whole frame, until the next call of anything here.
  std::optional<Frame> next() noexcept {
    const Bytes rest(buffer_.data() + begin_, end_ - begin_);
    if (broken_ || rest.size() < sizeof(FrameHeader)) return std::nullopt;
    const auto header = ByteReader(rest).get<FrameHeader>();
    broken_ = header.length > buffer_.size() - sizeof(header) || header.reserved != 0;
    if (broken_ || rest.size() - sizeof(header) < header.length) return std::nullopt;
    begin_ += sizeof(header) + header.length;
    return Frame{header.channel, header.type, rest.subspan(sizeof(header), header.length)};
  }
  bool broken() const noexcept { return broken_; }

 private:
  std::span<std::byte> buffer_;
  size_t begin_ = 0;  // of what has not been given away
  size_t end_ = 0;
  bool broken_ = false;
};

}  // namespace vireo::agent
