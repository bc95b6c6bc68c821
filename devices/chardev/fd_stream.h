// Reading and writing descriptors on a loop without ever blocking it.
//
// Thread: the loop's. Only what is armed is registered with the loop, so that a descriptor in
// hang-up, which epoll would report for ever, costs nothing while nobody wants to use it.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"

namespace vireo::dev {

// A descriptor of our own for an open file that is also others' (standard input and output): calls
// on it do not block, and the others' do as before. Where only the shared description itself can be
// made non-blocking (a terminal that may not be opened anew) it is until the object goes.
// Any thread.
class PrivateFd {
 public:
  enum class Use : uint8_t { read, write };
  PrivateFd(int shared, Use use);  // throws std::system_error
  PrivateFd(const PrivateFd&) = delete;
  PrivateFd& operator=(const PrivateFd&) = delete;
  ~PrivateFd();
  int get() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
  bool restore_blocking_ = false;
};

// Writes to a non-blocking descriptor (or a regular file) that outlives it.
class FdWriter {
 public:
  FdWriter() = default;
  explicit FdWriter(int fd);

  struct Written {
    size_t bytes = 0;
    std::error_code error{};  // the sink is gone or broken; not EAGAIN
  };
  // Never raises SIGPIPE. After less than everything and no error: call_when_writable().
  Written write(std::span<const std::byte> bytes) const;

  // Once, as soon as a write might take something or fail; instead of whom it was to call before.
  void call_when_writable(EventLoop& loop, std::function<void()> writable);
  void cancel() { watch_.reset(); }

 private:
  enum class Kind : uint8_t { other, socket, pipe };
  ssize_t write_some(std::span<const std::byte> bytes) const;

  int fd_ = -1;
  Kind kind_ = Kind::other;
  EventLoop::Registration watch_;
};

// Reads a non-blocking descriptor, or one that is always ready (a regular file, /dev/null), that
// outlives it.
class FdReader {
 public:
  // Both are called on the loop; `ended` once: at the end of the input or on an error.
  struct Events {
    std::function<void(std::span<const std::byte>)> bytes;  // at most CharFrontend::kMaxReceive
    std::function<void()> ended;
    // Asked before each read, when given. False: nothing is read now; it should be disabled.
    std::function<bool()> may_read{};
  };
  FdReader() = default;
  FdReader(int fd, Events events);

  void enable(EventLoop& loop);
  void disable() { watch_.reset(); }
  bool ended() const noexcept { return ended_; }

 private:
  void arm_always_ready(EventLoop& loop);
  void read_some();

  int fd_ = -1;
  bool socket_ = false;
  Events events_;
  bool ended_ = false;
  EventLoop::Registration watch_;
};

}  // namespace vireo::dev
