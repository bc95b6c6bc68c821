#include "devices/chardev/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

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

bool in_foreground(int terminal) noexcept {
  const int error = errno;
  const pid_t group = ::tcgetpgrp(terminal);
  errno = error;
  return group < 0 || group == ::getpgrp();
}

Terminal::Terminal(int fd) {
  if (::isatty(fd) == 0) return;
  fd_.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!fd_) throw_errno("cannot use the terminal");
}

// It counts as raw from before it is: a signal that comes in between finds what to restore. What
// another thread restored in between stays restored.
void Terminal::set_raw() noexcept {
  if (!fd_ || !in_foreground(fd_.get())) return;
  if (!is_raw_ && ::tcgetattr(fd_.get(), &original_) != 0) return;
  const bool was_raw = is_raw_.exchange(true);
  if (!set_mode(fd_.get(), raw_version(original_))) is_raw_ = was_raw;
  if (!is_raw_) set_mode(fd_.get(), original_);
}

// It counts as raw until it is restored, for a signal that comes in between; set_raw() on another
// thread may have made it raw meanwhile.
void Terminal::restore() noexcept {
  if (!is_raw_) return;
  const termios original = original_;
  set_mode(fd_.get(), original);
  is_raw_ = false;
  set_mode(fd_.get(), original);
}

}  // namespace vireo::dev
