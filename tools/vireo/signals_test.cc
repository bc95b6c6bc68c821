#include "tools/vireo/signals.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <catch2/catch.hpp>

#include "tools/vireo/exit_status.h"

using namespace vireo;
using namespace vireo::cli;

namespace {

constexpr int kReachedTheEnd = 100;

// Runs `body` in a child process, in which no signal is ignored from the start; gives what it
// exited with, or minus the signal that ended it.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) std::signal(number, SIG_DFL);
    body();
    ::_exit(kReachedTheEnd);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

struct Watched {
  Signals signals;
  EventLoop loop;
  dev::Terminal terminal{-1};
  int ends = 0, reopens = 0, continues = 0;
  Signals::Watch watch;

  explicit Watched(int requests, Signals::HangUp hang_up = Signals::HangUp::ends)
      : signals(hang_up) {
    watch = signals.watch(loop, terminal,
                          {.terminate = [this](int) { ++ends; },
                           .requests = requests,
                           .reopen = [this] { ++reopens; },
                           .continued = [this] { ++continues; }});
  }
  void send(int number) {
    std::raise(number);
    loop.step();
  }
};

}  // namespace

TEST_CASE("a request to end ends the process at once while nobody watches") {
  for (const int number : {SIGTERM, SIGINT, SIGHUP})
    CHECK(in_child([&] {
            const Signals signals;
            std::raise(number);
          }) == kStopped);
}

TEST_CASE("the status of a process that is ended at once is its program's choice") {
  CHECK(in_child([&] {
          const Signals signals(Signals::HangUp::ends, 125);
          std::raise(SIGTERM);
        }) == 125);
}

TEST_CASE("a request to end tells by which signal it came") {
  CHECK(in_child([&] {
          Signals signals;
          EventLoop loop;
          dev::Terminal terminal(-1);
          int told = 0;
          const auto watch = signals.watch(
              loop, terminal, {.terminate = [&](int number) { told = number; }, .requests = 1});
          std::raise(SIGINT);
          loop.step();
          if (told != SIGINT) ::_exit(1);
        }) == kReachedTheEnd);
}

TEST_CASE("what the parent ignored stays ignored, watched or not") {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGTSTP})
    CHECK(in_child([&] {
            std::signal(number, SIG_IGN);
            Watched w(1);
            for (int i = 0; i < 3; ++i) w.send(number);
            if (w.ends != 0) ::_exit(1);
          }) == kReachedTheEnd);
}

TEST_CASE("what the parent blocked arrives") {
  CHECK(in_child([] {
          sigset_t all;
          sigfillset(&all);
          ::sigprocmask(SIG_SETMASK, &all, nullptr);
          const Signals signals;
          std::raise(SIGTERM);
        }) == kStopped);
}

TEST_CASE("the loop is told of as many requests to end as it takes, and no more") {
  CHECK(in_child([] {
          Watched w(2);
          w.send(SIGTERM);
          w.send(SIGINT);
          ::_exit(w.ends);
        }) == 2);
  CHECK(in_child([] {
          Watched w(2);
          for (int i = 0; i < 3; ++i) std::raise(SIGTERM);  // the loop may be stuck
        }) == kStopped);
}

TEST_CASE(
    "after the watch, a request that was still possible does not change how the process ends") {
  const auto raised_after_watch = [](int times) {
    Signals signals;
    EventLoop loop;
    dev::Terminal terminal(-1);
    {
      const auto watch = signals.watch(loop, terminal, {.terminate = [](int) {}, .requests = 1});
    }
    for (int i = 0; i < times; ++i) std::raise(SIGTERM);
  };
  CHECK(in_child([&] { raised_after_watch(1); }) == kReachedTheEnd);
  CHECK(in_child([&] { raised_after_watch(2); }) == kStopped);
}

TEST_CASE("a hang-up ends, or opens files again, which it does as often as it likes") {
  CHECK(in_child([] {
          Watched w(1);
          w.send(SIGHUP);
          ::_exit(10 * w.ends + w.reopens);
        }) == 10);
  CHECK(in_child([] {
          Watched w(1, Signals::HangUp::reopens);
          for (int i = 0; i < 5; ++i) w.send(SIGHUP);
          ::_exit(10 * w.ends + w.reopens);
        }) == 5);
  CHECK(in_child([] {
          const Signals signals(Signals::HangUp::reopens);
          std::raise(SIGHUP);  // nobody watches yet
        }) == kReachedTheEnd);
}

TEST_CASE("a hang-up before the watch opens files again as soon as there is one") {
  CHECK(in_child([] {
          Signals signals(Signals::HangUp::reopens);
          EventLoop loop;
          dev::Terminal terminal(-1);
          std::raise(SIGHUP);
          int reopens = 0;
          const auto watch = signals.watch(loop, terminal,
                                           {.terminate = [](int) {}, .reopen = [&] { ++reopens; }});
          for (int i = 0; i < 3; ++i) loop.step();
          ::_exit(reopens);
        }) == 1);
}

TEST_CASE("the loop is told that the process goes on") {
  CHECK(in_child([] {
          Watched w(1);
          w.send(SIGCONT);
          ::_exit(w.continues);
        }) == 1);
}
