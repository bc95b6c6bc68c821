#include "devices/display/byte_stream.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace vireo::display {

namespace {

constexpr size_t kFairShare = 64 << 10;

}  // namespace

SocketStream::SocketStream(EventLoop& loop, UniqueFd socket)
    : loop_(loop), socket_(std::move(socket)), ready_(loop_, socket_.get()) {
  ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
}

Task<bool> SocketStream::readable() {
  if (closed_) co_return false;
  since_wait_ = 0;
  co_await ready_.readable();
  co_return !closed_;
}

Task<bool> SocketStream::writable() {
  if (closed_) co_return false;
  co_await ready_.writable();
  co_return !closed_;
}

Task<void> SocketStream::be_fair(size_t bytes) {
  since_wait_ += bytes;
  if (since_wait_ < kFairShare) co_return;
  since_wait_ = 0;
  co_await loop_.sleep(std::chrono::nanoseconds(0));
}

Task<size_t> SocketStream::read(std::span<std::byte> into) {
  while (!closed_) {
    const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), MSG_DONTWAIT);
    if (got > 0) {
      co_await be_fair(static_cast<size_t>(got));
      co_return closed_ ? 0 : static_cast<size_t>(got);
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) break;
    if (errno == EAGAIN) co_await readable();
  }
  co_return 0;
}

Task<bool> SocketStream::write(std::span<const std::byte> from) {
  while (!from.empty() && !closed_) {
    const ssize_t sent =
        ::send(socket_.get(), from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0)
      from = from.subspan(static_cast<size_t>(sent));
    else if (errno == EAGAIN)
      co_await writable();
    else if (errno != EINTR)
      co_return false;
  }
  co_return from.empty() && !closed_;
}

// The loop then finds the socket at its end, and wakes whoever waits.
void SocketStream::close() noexcept {
  closed_ = true;
  ::shutdown(socket_.get(), SHUT_RDWR);
}

Task<bool> InputBuffer::more() {
  if (begin_ > 0) {
    std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == bytes_.size()) co_return false;
  const std::span<std::byte> room = std::span(bytes_).subspan(end_);
  const size_t got = co_await stream_->read(room);
  end_ += got;
  co_return got > 0;
}

Task<bool> InputBuffer::have(size_t count) {
  while (end_ - begin_ < count)
    if (const bool got = co_await more(); !got) co_return false;
  co_return true;
}

Task<bool> InputBuffer::skip(size_t count) {
  for (;;) {
    const size_t now = std::min(count, end_ - begin_);
    consume(now);
    count -= now;
    if (count == 0) co_return true;
    if (const bool got = co_await more(); !got) co_return false;
  }
}

}  // namespace vireo::display
