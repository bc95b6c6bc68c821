#include "tools/vireo/signals.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <utility>

#include "tools/vireo/write_signals.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

constexpr std::array kRead{SIGTERM, SIGINT, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH};
constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT};

// A signal handler has no argument to find its terminal by.
std::atomic<const dev::Terminal*> crash_terminal{nullptr};

void restore_and_die(int number) {
  if (const dev::Terminal* terminal = crash_terminal.load()) terminal->restore();
  std::raise(number);  // the default action: the handler was installed for one time
}

sigset_t read_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kRead) sigaddset(&set, number);
  return set;
}

void suspend(const dev::Terminal& terminal) {
  terminal.restore();
  std::raise(SIGSTOP);  // until SIGCONT
  terminal.set_raw();
}

void read_one(int fd, const dev::Terminal& terminal, const Signals::Actions& actions) {
  signalfd_siginfo info{};
  if (::read(fd, &info, sizeof info) != sizeof info) return;
  switch (static_cast<int>(info.ssi_signo)) {
    case SIGTSTP:
      return suspend(terminal);
    case SIGCONT:
      return actions.resume();
    case SIGWINCH:
      return actions.resized();
    default:
      return actions.terminate();
  }
}

}  // namespace

Signals::Signals() {
  const sigset_t set = read_set();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  turn_write_signals_into_errors();
  fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw_errno("cannot read signals from a descriptor");
}

EventLoop::Registration Signals::watch(EventLoop& loop, const dev::Terminal& terminal,
                                       Actions actions) {
  const int fd = fd_.get();
  return loop.watch(fd, EPOLLIN, [fd, &terminal, actions = std::move(actions)](uint32_t) {
    read_one(fd, terminal, actions);
  });
}

RestoreOnCrash::RestoreOnCrash(const dev::Terminal& terminal) {
  crash_terminal = &terminal;
  struct sigaction action {};
  action.sa_handler = restore_and_die;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int number : kFatal) ::sigaction(number, &action, nullptr);
}

RestoreOnCrash::~RestoreOnCrash() {
  for (const int number : kFatal) ::signal(number, SIG_DFL);
  crash_terminal = nullptr;
}

}  // namespace vireo::cli
