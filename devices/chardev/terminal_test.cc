#include "devices/chardev/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <thread>

#include <catch2/catch.hpp>

using namespace vireo;
using namespace vireo::dev;

namespace {

struct Pty {
  UniqueFd master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  UniqueFd slave;

  Pty() {
    REQUIRE(master);
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
    slave.reset(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE(slave);
  }
  termios mode() const {
    termios mode{};
    REQUIRE(::tcgetattr(slave.get(), &mode) == 0);
    return mode;
  }
  bool is_raw() const { return (mode().c_lflag & (ICANON | ECHO | ISIG)) == 0; }
};

bool same(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag;
}

// The part of an owner: its signal handler needs a way to its Terminal.
Terminal* to_restore = nullptr;

void restore_and_die(int signal) {
  to_restore->restore();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

// Runs `body` in a child process and gives its wait status (also when it was stopped).
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, WUNTRACED) == child);
  if (WIFSTOPPED(status)) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return status;
}

// Makes the terminal the controlling one of a new session, whose foreground is this process.
void take_over(const Pty& pty) {
  ::setsid();
  ::ioctl(pty.slave.get(), TIOCSCTTY, 0);
}

// Another process group comes to the foreground.
void go_to_background(const Pty& pty) {
  const pid_t other = ::fork();
  if (other == 0) {
    ::pause();
    ::_exit(0);
  }
  ::setpgid(other, other);
  ::tcsetpgrp(pty.slave.get(), other);
  ::kill(other, SIGKILL);
}

}  // namespace

TEST_CASE("a terminal is raw while the object lives") {
  const Pty pty;
  const termios before = pty.mode();
  {
    Terminal terminal(pty.slave.get());
    REQUIRE(same(pty.mode(), before));
    terminal.set_raw();
    REQUIRE(terminal.is_raw());
    REQUIRE(pty.is_raw());
    REQUIRE((pty.mode().c_oflag & OPOST) != 0);
    errno = 7;
    terminal.restore();
    REQUIRE(errno == 7);
    REQUIRE(same(pty.mode(), before));
    terminal.restore();
    terminal.set_raw();  // as after SIGCONT
    REQUIRE(pty.is_raw());
  }
  REQUIRE(same(pty.mode(), before));
}

TEST_CASE("what is no terminal is left alone") {
  std::array<int, 2> fds{};
  REQUIRE(::pipe2(fds.data(), O_CLOEXEC) == 0);
  const UniqueFd in{fds[0]};
  const UniqueFd out{fds[1]};
  Terminal terminal(in.get());
  terminal.set_raw();
  REQUIRE_FALSE(terminal.is_terminal());
  REQUIRE_FALSE(terminal.is_raw());
  terminal.restore();
  REQUIRE_FALSE(Terminal(-1).is_terminal());
}

TEST_CASE("a terminal is restored from a signal handler, by termination and by a crash") {
  for (const int signal : {SIGTERM, SIGHUP, SIGSEGV, SIGABRT}) {
    const Pty pty;
    const termios before = pty.mode();
    const int status = in_child([&] {
      Terminal terminal(pty.slave.get());
      terminal.set_raw();
      if (!pty.is_raw()) ::_exit(1);
      to_restore = &terminal;
      ::signal(signal, restore_and_die);
      ::raise(signal);
      ::_exit(2);
    });
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == signal);
    REQUIRE(same(pty.mode(), before));
  }
}

TEST_CASE("a background process does not touch the terminal, and is not stopped for trying") {
  const Pty pty;
  const termios before = pty.mode();
  const int status = in_child([&] {
    take_over(pty);
    go_to_background(pty);
    Terminal terminal(pty.slave.get());
    terminal.set_raw();
    if (terminal.is_raw() || !terminal.is_terminal()) ::_exit(1);
  });
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE(same(pty.mode(), before));
}

TEST_CASE("a process that has come to the background still restores the terminal") {
  const Pty pty;
  const termios before = pty.mode();
  const int status = in_child([&] {
    take_over(pty);
    Terminal terminal(pty.slave.get());
    terminal.set_raw();
    if (!terminal.is_raw()) ::_exit(1);
    go_to_background(pty);
    terminal.restore();
  });
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE(same(pty.mode(), before));
}

TEST_CASE("a process that comes back to the foreground takes the terminal as it finds it") {
  const Pty pty;
  const int status = in_child([&] {
    take_over(pty);
    go_to_background(pty);
    Terminal terminal(pty.slave.get());
    terminal.set_raw();
    // What a shell does for fg, in its own mode.
    ::signal(SIGTTOU, SIG_IGN);
    termios mode = pty.mode();
    mode.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(pty.slave.get(), TCSANOW, &mode);
    ::tcsetpgrp(pty.slave.get(), ::getpgrp());
    terminal.set_raw();
    if (!pty.is_raw()) ::_exit(1);
    terminal.restore();
    if (!same(pty.mode(), mode)) ::_exit(2);
  });
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
}

TEST_CASE("a terminal that is restored while it is made raw is not left raw") {
  const Pty pty;
  const termios before = pty.mode();
  Terminal terminal(pty.slave.get());
  int left_raw = 0;
  for (int i = 0; i < 10000; ++i) {
    std::thread restorer([&] {
      while (!terminal.is_raw()) {
      }
      terminal.restore();
    });
    terminal.set_raw();
    restorer.join();
    if (!terminal.is_raw() && !same(pty.mode(), before)) ++left_raw;
    terminal.restore();
  }
  CHECK(left_raw == 0);
}
