#include "devices/chardev/fd_stream.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>

#include <fmt/core.h>

#include "devices/chardev/backend.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

mode_t type_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno(fmt::format("cannot use descriptor {}", fd));
  return status.st_mode & S_IFMT;
}

// A second open file description for the same pipe or device, with a blocking mode of its own.
UniqueFd reopen(int fd, PrivateFd::Use use) {
  const int access = use == PrivateFd::Use::read ? O_RDONLY : O_WRONLY;
  const std::string path = fmt::format("/proc/self/fd/{}", fd);
  return UniqueFd(::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

// Holds SIGPIPE back from this thread, and takes away the one that a write raised meanwhile.
class SigpipeGuard {
 public:
  SigpipeGuard() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  SigpipeGuard(const SigpipeGuard&) = delete;
  SigpipeGuard& operator=(const SigpipeGuard&) = delete;
  ~SigpipeGuard() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  void discard() {
    const timespec now{};
    ::sigtimedwait(&pipe_, nullptr, &now);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
};

ssize_t write_to_pipe(int fd, std::span<const std::byte> bytes) {
  SigpipeGuard guard;
  const ssize_t written = ::write(fd, bytes.data(), bytes.size());
  const int error = errno;
  if (written < 0 && error == EPIPE) guard.discard();
  errno = error;
  return written;
}

bool would_block(int error) noexcept {
  return error == EAGAIN || error == EWOULDBLOCK;
}

}  // namespace

PrivateFd::PrivateFd(int shared, Use use) {
  const mode_t type = type_of(shared);
  // Sockets can not be opened anew, but take a flag per call; files never block.
  if (type == S_IFIFO || type == S_IFCHR) fd_ = reopen(shared, use);
  if (fd_) return;
  fd_.reset(::fcntl(shared, F_DUPFD_CLOEXEC, 0));
  if (!fd_) throw_errno(fmt::format("cannot use descriptor {}", shared));
  if (type != S_IFIFO && type != S_IFCHR) return;
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  restore_blocking_ = (flags & O_NONBLOCK) == 0;
  ::fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK);
}

PrivateFd::~PrivateFd() {
  if (restore_blocking_) ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) & ~O_NONBLOCK);
}

FdWriter::FdWriter(int fd) : fd_(fd) {
  const mode_t type = type_of(fd);
  if (type == S_IFSOCK) kind_ = Kind::socket;
  if (type == S_IFIFO) kind_ = Kind::pipe;
}

ssize_t FdWriter::write_some(std::span<const std::byte> bytes) const {
  if (kind_ == Kind::socket)
    return ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (kind_ == Kind::pipe) return write_to_pipe(fd_, bytes);
  return ::write(fd_, bytes.data(), bytes.size());
}

FdWriter::Written FdWriter::write(std::span<const std::byte> bytes) const {
  Written written;
  while (written.bytes < bytes.size()) {
    const ssize_t n = write_some(bytes.subspan(written.bytes));
    if (n > 0) {
      written.bytes += static_cast<size_t>(n);
    } else if (n == 0 || would_block(errno)) {
      break;
    } else if (errno != EINTR) {
      written.error = last_error();
      break;
    }
  }
  return written;
}

void FdWriter::call_when_writable(EventLoop& loop, std::function<void()> writable) {
  watch_.reset();  // a descriptor is watched once
  watch_ = loop.watch(fd_, EPOLLOUT, [this, writable = std::move(writable)](uint32_t) {
    const auto call = writable;  // the watch, and what it holds, ends here
    watch_.reset();
    call();
  });
}

FdReader::FdReader(int fd, Events events)
    : fd_(fd), socket_(type_of(fd) == S_IFSOCK), events_(std::move(events)) {}

void FdReader::enable(EventLoop& loop) {
  if (watch_ || ended_) return;
  try {
    watch_ = loop.watch(fd_, EPOLLIN, [this](uint32_t) { read_some(); });
  } catch (const std::system_error& error) {
    if (error.code().value() != EPERM) throw;
    arm_always_ready(loop);
  }
}

// epoll refuses what is always ready (EPERM): one chunk per turn of the loop.
void FdReader::arm_always_ready(EventLoop& loop) {
  watch_ = loop.after(std::chrono::microseconds(1), [this, &loop] {
    arm_always_ready(loop);
    read_some();
  });
}

void FdReader::read_some() {
  if (events_.may_read && !events_.may_read()) return;
  std::array<std::byte, CharFrontend::kMaxReceive> buffer;
  ssize_t n = 0;
  do {
    n = socket_ ? ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT)
                : ::read(fd_, buffer.data(), buffer.size());
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    events_.bytes(std::span(buffer).first(static_cast<size_t>(n)));
  } else if (n == 0 || !would_block(errno)) {
    // A terminal that was taken from us since it was asked for (EIO) is not at its end.
    if (events_.may_read && !events_.may_read()) return;
    ended_ = true;
    watch_.reset();
    const auto call = events_.ended;  // which may end this object
    call();
  }
}

}  // namespace vireo::dev
