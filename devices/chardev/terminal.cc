#include "devices/chardev/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

bool is_foreground(int fd) noexcept {
  const pid_t group = ::tcgetpgrp(fd);
  // Not our controlling terminal: nobody stops us for setting it.
  return group < 0 || group == ::getpgrp();
}

// The guest's line discipline does the work. Output processing stays: the guest sends CR LF itself,
// but what we log goes to the same screen with plain LF.
termios raw_version(termios mode) noexcept {
  ::cfmakeraw(&mode);
  mode.c_oflag |= OPOST;
  return mode;
}

// A background process that sets its terminal is stopped by SIGTTOU, unless it blocks it.
bool set_mode(int fd, const termios& mode) noexcept {
  const int error = errno;
  sigset_t stop{};
  sigset_t before{};
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTTOU);
  ::pthread_sigmask(SIG_BLOCK, &stop, &before);
  int result = 0;
  do {
    result = ::tcsetattr(fd, TCSANOW, &mode);
  } while (result != 0 && errno == EINTR);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return result == 0;
}

}  // namespace

Terminal::Terminal(int fd) {
  if (::isatty(fd) == 0 || !is_foreground(fd)) return;
  UniqueFd own{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
  if (!own || ::tcgetattr(own.get(), &original_) != 0) throw_errno("cannot use the terminal");
  raw_ = raw_version(original_);
  if (!set_mode(own.get(), raw_)) throw_errno("cannot set the terminal to raw mode");
  fd_ = std::move(own);
}

void Terminal::restore() const noexcept {
  if (fd_) set_mode(fd_.get(), original_);
}

void Terminal::set_raw() const noexcept {
  if (fd_) set_mode(fd_.get(), raw_);
}

}  // namespace vireo::dev
