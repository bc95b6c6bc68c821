// A connection whose peer has said all that it will say, and reads everything.
#pragma once

#include <algorithm>
#include <cstring>

#include "devices/display/byte_stream.h"

namespace vireo::display {

class MemoryStream final : public ByteStream {
 public:
  explicit MemoryStream(std::span<const std::byte> input) : input_(input) {}

  // In pieces, as a network gives them.
  Task<size_t> read(std::span<std::byte> into) override {
    const size_t count = std::min({into.size(), input_.size(), kPiece});
    if (closed_ || count == 0) co_return 0;
    std::memcpy(into.data(), input_.data(), count);
    input_ = input_.subspan(count);
    co_return count;
  }
  Task<bool> write(std::span<const std::byte> from) override {
    written += from.size();
    co_return !closed_;
  }
  void close() noexcept override { closed_ = true; }

  size_t written = 0;

 private:
  static constexpr size_t kPiece = 61;

  std::span<const std::byte> input_;
  bool closed_ = false;
};

}  // namespace vireo::display
