// The agent's end of the port to the host: frames in, frames out, never waiting.
//
// One thread. Does not own the descriptor. No C++ library.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "agent/frame_reader.h"
#include "agent/wire.h"

namespace vireo::agent {

class Port {
 public:
  // What a frame of a stream takes at most.
  static constexpr size_t kDataFrame = sizeof(FrameHeader) + 1 + kMaxData;

  explicit Port(int fd) noexcept;  // makes it non-blocking
  int fd() const noexcept { return fd_; }

  // Reads what has come. False: the port is closed, or what comes is no frame.
  bool receive() noexcept;
  std::optional<Frame> next() noexcept { return reader_.next(); }
  bool is_broken() const noexcept { return reader_.broken(); }

  // There is always room for what commands and the host's requests have to be answered as long as
  // data are sent, and requests read, only while may_send_data().
  template <class Message>
  void send(uint32_t channel, const Message& message) noexcept {
    encode(channel, message, [this](Bytes bytes) { append(bytes); });
  }
  bool may_send_data() const noexcept { return kOutput - queued_ >= kReserve + kDataFrame; }
  bool has_output() const noexcept { return queued_ > 0; }
  // Writes what the port takes. False: it is closed.
  bool flush() noexcept;

 private:
  static constexpr size_t kOutput = 256 * 1024;
  static constexpr size_t kReserve = 32 * 1024;  // for what is not data: some 20 bytes a message

  void append(Bytes bytes) noexcept;

  const int fd_;
  std::byte input_[sizeof(FrameHeader) + kMaxToGuest];
  FrameReader reader_{input_};
  std::byte output_[kOutput];
  size_t queued_ = 0;
};

}  // namespace vireo::agent
