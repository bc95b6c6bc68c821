#include "agent/guest/port.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace vireo::agent {

namespace {

bool would_block() noexcept {
  return errno == EAGAIN || errno == EINTR;
}

}  // namespace

Port::Port(int fd) noexcept : fd_(fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

bool Port::receive() noexcept {
  const std::span<std::byte> space = reader_.space();
  if (space.empty()) return !reader_.broken();
  const ssize_t count = ::read(fd_, space.data(), space.size());
  if (count < 0) return would_block();
  reader_.filled(static_cast<size_t>(count));
  return count > 0;
}

// Each answer has its room by what may_send_data() leaves: a full buffer is a fault of ours.
void Port::append(Bytes bytes) noexcept {
  if (bytes.size() > kOutput - queued_) std::abort();
  if (!bytes.empty()) std::memcpy(output_ + queued_, bytes.data(), bytes.size());
  queued_ += bytes.size();
}

bool Port::flush() noexcept {
  size_t written = 0;
  bool open = true;
  while (written < queued_) {
    const ssize_t count = ::write(fd_, output_ + written, queued_ - written);
    if (count > 0) written += static_cast<size_t>(count);
    if (count < 0) open = would_block();
    if (count <= 0) break;
  }
  std::memmove(output_, output_ + written, queued_ - written);
  queued_ -= written;
  return open;
}

}  // namespace vireo::agent
