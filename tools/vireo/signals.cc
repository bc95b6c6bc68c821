#include "tools/vireo/signals.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <utility>

#include "tools/vireo/write_signals.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

constexpr std::array kEnd{SIGTERM, SIGINT, SIGHUP};
constexpr std::array kJobControl{SIGTSTP, SIGCONT, SIGWINCH};
constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT};

using Handler = void (*)(int);

// A signal handler has no argument to find these by.
std::atomic<dev::Terminal*> held_terminal{nullptr};
std::atomic<int> told_fd{-1};           // wakes the loop that watches; -1: none does
std::atomic<uint64_t> arrived{0};       // a bit for each signal that the loop is to be told of
std::atomic<int> requests_to_tell{0};   // how many requests to end the loop is still told of
std::atomic<int> end_status{kStopped};  // of the process, when a request ends it at once

constexpr uint64_t bit(int number) {
  return uint64_t{1} << number;
}

void restore_terminal() {
  if (dev::Terminal* terminal = held_terminal.load()) terminal->restore();
}

// The handlers below run on any thread, between any two instructions of it.

void tell(int number) {
  const int error = errno;
  arrived |= bit(number);
  if (const int fd = told_fd; fd >= 0) signal_eventfd(fd);
  errno = error;
}

void end_or_tell(int number) {
  if (requests_to_tell.fetch_sub(1) > 0) return tell(number);
  restore_terminal();
  ::_exit(end_status);
}

void restore_and_die(int number) {
  restore_terminal();
  std::raise(number);  // the default action: the handler was installed for one time
}

bool is_ignored(int number) {
  struct sigaction now {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

void handle(int number, Handler handler, int flags) {
  if (is_ignored(number)) return;
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(number, &action, nullptr);
}

template <class Numbers>
void stop_handling(const Numbers& numbers) {
  for (const int number : numbers) handle(number, SIG_DFL, 0);
}

void unblock_handled() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kEnd) sigaddset(&set, number);
  for (const int number : kJobControl) sigaddset(&set, number);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void suspend(dev::Terminal& terminal) {
  terminal.restore();
  std::raise(SIGSTOP);  // until SIGCONT, of which the loop is told
}

void act(dev::Terminal& terminal, Signals::HangUp hang_up, const Signals::Actions& actions) {
  const uint64_t numbers = arrived.exchange(0);
  const bool hung_up = (numbers & bit(SIGHUP)) != 0;
  if (hung_up && hang_up == Signals::HangUp::reopens) actions.reopen();
  if (hung_up && hang_up == Signals::HangUp::ends) actions.terminate(SIGHUP);
  if (numbers & bit(SIGINT)) actions.terminate(SIGINT);
  if (numbers & bit(SIGTERM)) actions.terminate(SIGTERM);
  if (numbers & bit(SIGTSTP)) suspend(terminal);
  if (numbers & bit(SIGCONT)) actions.continued();
  if (numbers & bit(SIGWINCH)) actions.resized();
}

}  // namespace

// A request to end interrupts what the process waits for (no SA_RESTART), such as the reader of its
// output.
Signals::Signals(HangUp hang_up, int exit_status) : hang_up_(hang_up), wake_(make_eventfd()) {
  end_status = exit_status;
  for (const int number : kEnd) handle(number, end_or_tell, 0);
  if (hang_up == HangUp::reopens) handle(SIGHUP, tell, SA_RESTART);
  unblock_handled();
  turn_write_signals_into_errors();
}

Signals::Watch Signals::watch(EventLoop& loop, dev::Terminal& terminal, Actions actions) {
  const int fd = wake_.get();
  const int requests = actions.requests;
  Watch watch(loop.watch(
      fd, EPOLLIN, [fd, &terminal, hang_up = hang_up_, actions = std::move(actions)](uint32_t) {
        drain_eventfd(fd);
        act(terminal, hang_up, actions);
      }));
  // The files may have been open before.
  arrived &= hang_up_ == HangUp::reopens ? bit(SIGHUP) : 0;
  told_fd = fd;
  if (arrived != 0) signal_eventfd(fd);
  requests_to_tell = requests;
  for (const int number : kJobControl) handle(number, tell, SA_RESTART);
  return watch;
}

// What the loop would still have been told of changes nothing any more: the process is about to end
// with another status.
Signals::Watch::~Watch() {
  if (!registration_) return;
  stop_handling(kJobControl);
  told_fd = -1;
}

RestoreAtDeath::RestoreAtDeath(dev::Terminal& terminal) {
  held_terminal = &terminal;
  for (const int number : kFatal)
    handle(number, restore_and_die, static_cast<int>(SA_RESETHAND | SA_NODEFER));
}

RestoreAtDeath::~RestoreAtDeath() {
  stop_handling(kFatal);
  held_terminal = nullptr;
}

}  // namespace vireo::cli
