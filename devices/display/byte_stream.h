// A connection as whoever speaks a protocol over it sees it: a socket, TLS on one, a WebSocket.
//
// Thread: the loop's. One reader and one writer at a time. Nothing is kept beyond what the
// protocol beneath needs; a peer that does not read holds up its writer and nobody else.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"
#include "vmm/base/fd_readiness.h"
#include "vmm/base/task.h"

namespace vireo::display {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // At least one byte. 0: the stream has ended, failed or been closed.
  virtual Task<size_t> read(std::span<std::byte> into) = 0;
  // All, or false.
  virtual Task<bool> write(std::span<const std::byte> from) = 0;
  // Ends what is under way, in a later turn of the loop, and all that comes after at once.
  virtual void close() noexcept = 0;
};

// On a connected stream socket, which it makes non-blocking.
class SocketStream final : public ByteStream {
 public:
  SocketStream(EventLoop& loop, UniqueFd socket);

  Task<size_t> read(std::span<std::byte> into) override;
  Task<bool> write(std::span<const std::byte> from) override;
  void close() noexcept override;

  // For who reads and writes the socket himself, when it says EAGAIN. False: the stream is closed.
  int fd() const noexcept { return socket_.get(); }
  Task<bool> readable();
  Task<bool> writable();
  // After so many bytes of a peer's: one that sends without end lets the loop have a turn.
  Task<void> be_fair(size_t bytes);

 private:
  EventLoop& loop_;
  UniqueFd socket_;
  bool closed_ = false;
  size_t since_wait_ = 0;  // bytes read since the loop had a turn
  FdReadiness ready_;
};

// What has been read of a stream and not yet understood.
class InputBuffer {
 public:
  // At most `room` bytes are ever held.
  InputBuffer(ByteStream& stream, size_t room) : stream_(&stream), bytes_(room) {}

  std::span<const std::byte> bytes() const noexcept {
    return std::span(bytes_).subspan(begin_, end_ - begin_);
  }
  void consume(size_t count) noexcept { begin_ += count; }
  // Reads at least one more; false when there is none, or no room.
  Task<bool> more();
  // Until there are so many; false when that cannot be.
  Task<bool> have(size_t count);
  // Consumes so many, however many that are.
  Task<bool> skip(size_t count);

 private:
  ByteStream* stream_;
  std::vector<std::byte> bytes_;
  size_t begin_ = 0, end_ = 0;
};

}  // namespace vireo::display
