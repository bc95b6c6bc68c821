// An epoll loop: file descriptors, timers, posted functions, and a hook that runs once per turn.
//
// Thread: a loop belongs to the thread that is in run(), or, while nobody is, to whoever steps it
// (tests, block_on). Only post(), stop(), borrow() and runs_on_this_thread() may be called from
// other threads. Loops are passed explicitly; there is no current loop. Callbacks run on the loop's
// thread, never inside the call that registered them. They must not step the loop they run on, and
// must not throw: what leaves one nevertheless is told to on_failure(). A callback, and what it
// captured, lives until it has returned, whatever it ends, its own registration included; what it
// did not capture may be gone as soon as it has resumed a coroutine (task.h, rule 6). A loop
// outlives whoever posts to it.
#pragma once

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/task.h"

struct epoll_event;

namespace vireo {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Function = std::function<void()>;
  using FdFunction = std::function<void(uint32_t epoll_events)>;

  // `now` can be replaced by a test's clock; timers then fire when it has passed them.
  explicit EventLoop(std::function<Clock::time_point()> now = Clock::now);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Until stop().
  void run() noexcept;
  // Any thread. The turn under way is finished, what was posted before included; a run() that comes
  // later returns after that at once: a stopped loop stays stopped.
  void stop() noexcept;
  // One turn: waits up to `wait` for something to do (zero: does not wait). True if anything ran,
  // or a hook asked for another turn.
  bool step(std::chrono::milliseconds wait = std::chrono::milliseconds(0));

  void post(Function function);  // any thread; never waits, never runs it inline
  bool runs_on_this_thread() const noexcept;

  // Before run(). Called on the loop's thread with the description of an exception that has left a
  // callback; the loop goes on. Without it, such an exception leaves step() and ends run()'s
  // process.
  void on_failure(std::function<void(const std::string& what)> listener);
  // On the loop's thread: tells of an exception that a task did not catch as of one that has left a
  // callback. Without a listener, it ends the process.
  void fail(const std::exception_ptr& why) const noexcept;

  // Any other thread, never waits: while the thread in run() has nothing to do, the loop belongs to
  // this one for the length of the call, which saves waking the other. False: it was not free, and
  // nothing was done. The function waits for nothing, makes and ends no registration.
  bool borrow(const Function& function);
  bool is_borrowed() const noexcept { return borrowed_; }  // of whoever the loop belongs to
  void check_current() const {
#ifndef NDEBUG
    VMM_CHECK(is_idle() || runs_on_this_thread(), "a loop's objects are touched on its thread");
#endif
  }

  // A registration that ends with the object, which may happen in any callback, its own included;
  // after that the callback does not run. It must not outlive the loop.
  class [[nodiscard]] Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept : cancel_(std::exchange(other.cancel_, nullptr)) {}
    Registration& operator=(Registration&& other) noexcept {
      reset();
      cancel_ = std::exchange(other.cancel_, nullptr);
      return *this;
    }
    ~Registration() { reset(); }
    void reset() {
      if (auto cancel = std::exchange(cancel_, nullptr)) cancel();
    }
    explicit operator bool() const noexcept { return static_cast<bool>(cancel_); }

   private:
    friend EventLoop;
    explicit Registration(Function cancel) : cancel_(std::move(cancel)) {}
    Function cancel_;
  };

  // Calls `ready` whenever the descriptor has one of `epoll_events` (level-triggered unless EPOLLET
  // is given) or EPOLLERR or EPOLLHUP, which come unasked and again until the registration ends.
  // The descriptor stays open until then. Throws when epoll refuses it (a regular file). On a loop
  // that runs, a host that is out of room for watches does not count as that: the callback then
  // comes late, as soon as there is room.
  Registration watch(int fd, uint32_t epoll_events, FdFunction ready);
  // Once, never early, up to a millisecond late; equal times in the order of the calls. A negative
  // delay counts as none.
  Registration after(std::chrono::nanoseconds delay, Function expired);
  // Runs at the end of every turn, before the loop waits: where batches are submitted.
  Registration each_turn(Function hook);
  // Called from within a hook: the coming wait is left out, because there is more to do (for
  // another hook, say, that may have had its turn already).
  void turn_again() noexcept {
    turn_again_ = true;
  }

  Clock::time_point now() const {
    return now_();
  }

  // co_await loop.sleep(10ms);
  auto sleep(std::chrono::nanoseconds delay) {
    struct Awaiter {
      EventLoop& loop;
      std::chrono::nanoseconds delay;
      Registration timer{};
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) {
        timer = loop.after(delay, [handle] { handle.resume(); });
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this, delay};
  }

 private:
  friend class LoopThread;
  struct Watch {
    const int fd;
    const uint32_t events;
    FdFunction ready;
    bool cancelled = false;
  };
  struct Hook {
    Function run;
    bool cancelled = false;
  };
  using TimerKey = std::pair<Clock::time_point, uint64_t>;  // when due, the how-manieth armed

  bool is_idle() const noexcept;  // nobody is in run()
  template <class Callback, class... Arguments>
  void run_callback(const Callback& callback, Arguments... arguments);
  int arm(const Watch& watch) const noexcept;
  void arm_later(const std::shared_ptr<Watch>& watch);
  void wake_for_posted();
  int wait_for_events(std::span<epoll_event> events, std::chrono::nanoseconds limit);
  int lend_and_wait(std::span<epoll_event> events, std::chrono::nanoseconds limit);
  bool run_posted();
  bool run_timers();
  void run_hooks();
  std::chrono::nanoseconds wait_time(std::chrono::milliseconds limit) const;
  bool run_ready(std::chrono::nanoseconds limit);

  std::function<Clock::time_point()> now_;
  std::function<void(const std::string& what)> on_failure_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::atomic<std::thread::id> thread_{};
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> wake_pending_ = false;
  bool stepping_ = false;
  bool precise_ = true;  // the kernel can wait for less than a millisecond

  std::mutex turn_;        // held by whom the loop belongs to, not while it waits in run()
  bool running_ = false;   // guarded by turn_: somebody is in run()
  bool borrowed_ = false;  // guarded by turn_

  std::mutex posted_mutex_;
  std::vector<Function> posted_;  // guarded by posted_mutex_

  std::map<TimerKey, Function> timers_;
  uint64_t timers_armed_ = 0;
  bool turn_again_ = false;
  std::list<std::shared_ptr<Hook>> hooks_;
  std::vector<std::shared_ptr<Watch>> cancelled_;  // kept until no event of this turn can name them
};

// A loop on a thread of its own, from construction to destruction.
class LoopThread {
 public:
  explicit LoopThread(const std::string& name);
  ~LoopThread();
  EventLoop& loop() noexcept { return loop_; }

 private:
  EventLoop loop_;
  std::thread thread_;
};

// Runs `function` on the loop, which another thread runs, and waits for its result. Not from a
// thread that runs a loop: loops never wait for each other. Exceptions come back.
template <class Function>
auto call(EventLoop& loop, Function function) -> decltype(function()) {
  VMM_CHECK(!loop.runs_on_this_thread(), "call() from the loop itself would wait for ever");
  // Owned by the posted function: the loop may still be inside it when the result is already here.
  auto task = std::make_shared<std::packaged_task<decltype(function())()>>(std::move(function));
  auto result = task->get_future();
  loop.post([task = std::move(task)] { (*task)(); });
  return result.get();
}

namespace detail {
// The task, its parameters included, is gone before its result is told: whoever waits for that may
// then destroy what the task referred to.
template <class T>
Detached fulfil(Task<T> task, std::promise<T> promise) {
  std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> result;
  std::exception_ptr failure;
  try {
    const Task<T> running = std::move(task);
    if constexpr (std::is_void_v<T>) {
      co_await running;
    } else {
      T value = co_await running;
      result.emplace(std::move(value));
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure)
    promise.set_exception(std::move(failure));
  else if constexpr (std::is_void_v<T>)
    promise.set_value();
  else
    promise.set_value(std::move(*result));
}
}  // namespace detail

// Runs a task on a loop that another thread runs, and waits for its result.
template <class T>
T call(EventLoop& loop, Task<T> task) {
  std::promise<T> promise;
  auto result = promise.get_future();
  call(loop, [&] { detail::fulfil(std::move(task), std::move(promise)); });
  return result.get();
}

// Steps an idle loop on this thread until the task has finished: for programs without a machine
// (vireo image) and for tests. Not from a callback of the loop.
template <class T>
T block_on(EventLoop& loop, Task<T> task) {
  loop.check_current();
  std::promise<T> promise;
  auto result = promise.get_future();
  detail::fulfil(std::move(task), std::move(promise));
  while (result.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
    loop.step(std::chrono::milliseconds(1000));
  return result.get();
}

}  // namespace vireo
