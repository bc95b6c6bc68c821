// An event loop on the test's own thread, stepped by hand, with a clock that only advance() moves:
// no test needs to sleep.
#pragma once

#include <chrono>
#include <future>
#include <utility>

#include "vmm/base/error.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/task.h"

namespace vireo::testing {

class ManualLoop {
 public:
  EventLoop& loop() noexcept { return loop_; }
  EventLoop::Clock::time_point now() const noexcept { return now_; }

  // Turns the loop until a turn finds nothing to do.
  void settle() {
    for (int turn = 0; turn < kMaxTurns; ++turn)
      if (!loop_.step()) return;
    VMM_CHECK(false, "the loop comes to rest");
  }
  // Sets the clock forward in one leap, as if the thread had slept: what is due by then runs, and a
  // timer that is armed again and again runs once.
  void advance(std::chrono::nanoseconds by) {
    set_forward(by);
    settle();
  }
  // The clock alone, for a loop that does not come to rest.
  void set_forward(std::chrono::nanoseconds by) noexcept { now_ += by; }
  // The result of a task that needs nothing but turns of the loop; one that still waits when there
  // is nothing to do aborts.
  template <class T>
  T run(Task<T> task) {
    std::promise<T> promise;
    auto result = promise.get_future();
    vireo::detail::fulfil(std::move(task), std::move(promise));
    settle();
    VMM_CHECK(result.wait_for(std::chrono::seconds(0)) == std::future_status::ready,
              "the task needs nothing but turns of the loop");
    return result.get();
  }

 private:
  static constexpr int kMaxTurns = 1'000'000;

  EventLoop::Clock::time_point now_{};
  EventLoop loop_{[this] { return now_; }};
};

}  // namespace vireo::testing
