#include "vmm/control_queue.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

namespace vireo {
namespace {

using Kind = ControlQueue::Kind;
const auto kNow = std::chrono::steady_clock::time_point::min();

// A guest that counts how often it was stopped, and requests that say that they were carried out.
struct Control {
  int stops = 0;
  std::vector<std::string> done;
  ControlQueue queue{[this] { ++stops; }};

  ControlQueue::Function says(const std::string& text) {
    return [this, text] { done.push_back(text); };
  }
  // All that waits.
  std::vector<std::string> carry_out() {
    while (const auto request = queue.take(kNow)) request();
    return std::exchange(done, {});
  }
  bool guest_may_go_on() const {
    bool may = false;
    queue.unless_urgent([&] { may = true; });
    return may;
  }
};

using Done = std::vector<std::string>;

TEST_CASE("requests are carried out in their order") {
  Control control;
  CHECK_FALSE(control.queue.take(kNow));
  control.queue.post(Kind::resume, control.says("resume"));
  control.queue.post_urgent(Kind::reset, control.says("reset"));
  control.queue.post_urgent(Kind::pause, control.says("pause"));
  CHECK(control.carry_out() == Done{"resume", "reset", "pause"});
  CHECK(control.carry_out().empty());
}

TEST_CASE(
    "a request that waits already is not taken twice, and comes behind what was asked since") {
  Control control;
  for (int i = 0; i < 1'000'000; ++i) control.queue.post_urgent(Kind::reset, [] {});
  CHECK(control.queue.take(kNow));
  CHECK_FALSE(control.queue.take(kNow));

  control.queue.post_urgent(Kind::pause, control.says("the first reason"));
  control.queue.post(Kind::resume, control.says("resume"));
  control.queue.post_urgent(Kind::pause, control.says("the second reason"));
  CHECK(control.carry_out() == Done{"resume", "the first reason"});
}

TEST_CASE("a request may ask for more") {
  Control control;
  control.queue.post_urgent(Kind::pause, [&] {
    control.done.emplace_back("pause");
    control.queue.post(Kind::resume, control.says("resume"));
  });
  CHECK(control.carry_out() == Done{"pause", "resume"});
}

TEST_CASE("the guest is stopped by what is urgent, and goes on when none of it waits") {
  Control control;
  control.queue.post(Kind::resume, control.says("resume"));
  CHECK(control.stops == 0);
  CHECK(control.guest_may_go_on());
  control.queue.post_urgent(Kind::pause, control.says("pause"));
  CHECK(control.stops == 1);
  CHECK_FALSE(control.guest_may_go_on());
  control.carry_out();
  CHECK(control.guest_may_go_on());
}

TEST_CASE("what was withdrawn is not carried out") {
  Control control;
  CHECK_FALSE(control.queue.withdraw(Kind::pause));
  control.queue.post_urgent(Kind::pause, control.says("pause"));
  control.queue.post(Kind::resume, control.says("resume"));
  CHECK(control.queue.withdraw(Kind::pause));
  CHECK(control.guest_may_go_on());
  CHECK(control.carry_out() == Done{"resume"});
}

TEST_CASE("after the last request there is none: the first last one counts") {
  Control control;
  control.queue.post_urgent(Kind::reset, control.says("reset"));
  CHECK_FALSE(control.queue.has_ended());
  control.queue.post_last(control.says("power off"));
  CHECK(control.queue.has_ended());
  CHECK_FALSE(control.guest_may_go_on());
  control.queue.post_last(control.says("crash"));
  control.queue.post_urgent(Kind::pause, control.says("pause"));
  CHECK(control.carry_out() == Done{"power off"});
  control.queue.post_last(control.says("stop"));
  CHECK(control.carry_out().empty());
  CHECK(control.stops == 2);
}

TEST_CASE("requests of many threads stop a guest that goes on now and then, and none is lost") {
  constexpr int kThreads = 4, kEach = 2000;
  std::atomic<bool> runs{false};
  ControlQueue queue([&] { runs = false; });
  std::atomic<int> asking{kThreads};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      const Kind kind = i % 2 == 0 ? Kind::reset : Kind::pause;
      for (int n = 0; n < kEach; ++n) queue.post_urgent(kind, [] {});
      if (--asking == 0) queue.post(Kind::resume, [] {});
    });
  int carried_out = 0;
  do {
    if (queue.take(std::nullopt)) ++carried_out;
    queue.unless_urgent([&] { runs = true; });
  } while (asking > 0);
  for (std::thread& thread : threads) thread.join();
  // Somebody's last request waits, and so the guest stands still; or none does.
  queue.withdraw(Kind::resume);
  bool waited = false;
  while (queue.take(kNow)) waited = true;
  CHECK((carried_out > 0 && runs != waited));
}

}  // namespace
}  // namespace vireo
