// Owned file descriptors and the system calls on them that must be repeated after EINTR or a short
// transfer. Any thread. Errors are std::system_error at set-up, std::error_code on the data path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

namespace vireo {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

// A non-blocking, close-on-exec eventfd. Throws, or gives none and the error.
UniqueFd make_eventfd();
UniqueFd make_eventfd(std::error_code& error) noexcept;
// Adds one to an eventfd; a full counter is fine, the reader is already due.
void signal_eventfd(int fd) noexcept;
// Takes everything out of an eventfd.
void drain_eventfd(int fd) noexcept;

// Transfers all of the span or fails; end of file is std::errc::io_error.
std::error_code read_all(int fd, std::span<std::byte> into) noexcept;
std::error_code write_all(int fd, std::span<const std::byte> from) noexcept;
std::error_code pread_all(int fd, std::span<std::byte> into, uint64_t offset) noexcept;
std::error_code pwrite_all(int fd, std::span<const std::byte> from, uint64_t offset) noexcept;

// errno as a value.
std::error_code last_error() noexcept;

}  // namespace vireo
