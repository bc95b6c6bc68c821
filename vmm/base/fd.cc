#include "vmm/base/fd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "vmm/base/error.h"

namespace vireo {

void UniqueFd::reset(int fd) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

UniqueFd make_eventfd(std::error_code& error) noexcept {
  UniqueFd fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  error = fd ? std::error_code() : last_error();
  return fd;
}

UniqueFd make_eventfd() {
  std::error_code error;
  UniqueFd fd = make_eventfd(error);
  if (error) throw std::system_error(error, "cannot create an eventfd");
  return fd;
}

void signal_eventfd(int fd) noexcept {
  const uint64_t one = 1;
  while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void drain_eventfd(int fd) noexcept {
  uint64_t count = 0;
  while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

std::error_code last_error() noexcept {
  return {errno, std::system_category()};
}

namespace {

// Repeats `transfer(done)` (which moves bytes from position `done` on) until all are moved.
template <class Transfer>
std::error_code repeat(size_t size, Transfer transfer) noexcept {
  for (size_t done = 0; done < size;) {
    const ssize_t moved = transfer(done);
    if (moved > 0) {
      done += static_cast<size_t>(moved);
    } else if (moved == 0) {
      return std::make_error_code(std::errc::io_error);
    } else if (errno != EINTR) {
      return last_error();
    }
  }
  return {};
}

}  // namespace

std::error_code read_all(int fd, std::span<std::byte> into) noexcept {
  return repeat(into.size(),
                [&](size_t done) { return ::read(fd, into.data() + done, into.size() - done); });
}

std::error_code write_all(int fd, std::span<const std::byte> from) noexcept {
  return repeat(from.size(),
                [&](size_t done) { return ::write(fd, from.data() + done, from.size() - done); });
}

std::error_code pread_all(int fd, std::span<std::byte> into, uint64_t offset) noexcept {
  return repeat(into.size(), [&](size_t done) {
    return ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
  });
}

std::error_code pwrite_all(int fd, std::span<const std::byte> from, uint64_t offset) noexcept {
  return repeat(from.size(), [&](size_t done) {
    return ::pwrite(fd, from.data() + done, from.size() - done, static_cast<off_t>(offset + done));
  });
}

}  // namespace vireo
