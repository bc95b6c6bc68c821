// Waiting between coroutines of one loop: none of this is atomic, and nothing here blocks a thread.
// Waiters are served first come, first served, and resumed inside the call that lets them go; a
// waiter so resumed that lets others go in its turn only marks them, and that call resumes them
// too. An object must outlive its waiters and the calls on it.
#pragma once

#include <coroutine>
#include <cstddef>
#include <deque>
#include <utility>

#include "vmm/base/error.h"

namespace vireo {

// Coroutines parked in order of arrival.
class WaitList {
 public:
  // Nobody waits who has not been let go.
  bool empty() const noexcept { return waiting_.size() == due_; }
  void park(std::coroutine_handle<> handle) { waiting_.push_back(handle); }
  // Lets the first go; not when empty(). A chain of hand-overs (each waiter lets the next go) stays
  // one call deep, for the guest decides how many of its requests wait.
  void resume_one() {
    ++due_;
    if (resuming_) return;
    resuming_ = true;
    while (due_ > 0) resume_front();
    resuming_ = false;
  }
  // Those who park anew meanwhile wait for the next call.
  void resume_all() {
    due_ = 0;
    for (auto handles = std::exchange(waiting_, {}); const auto& handle : handles) handle.resume();
  }

 private:
  void resume_front() {
    const auto handle = waiting_.front();
    waiting_.pop_front();
    --due_;
    handle.resume();
  }

  std::deque<std::coroutine_handle<>> waiting_;
  size_t due_ = 0;  // how many of the first in waiting_ have been let go and not yet resumed
  bool resuming_ = false;
};

// co_await semaphore.acquire(); ... semaphore.release();
class Semaphore {
 public:
  explicit Semaphore(size_t count) noexcept : count_(count) {}

  auto acquire() noexcept {
    struct Awaiter {
      Semaphore& self;
      bool await_ready() const noexcept {
        if (self.count_ == 0) return false;
        --self.count_;
        return true;
      }
      void await_suspend(std::coroutine_handle<> handle) const { self.waiting_.park(handle); }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
  // Hands the place straight to the first waiter, so that nobody overtakes it.
  void release() {
    if (waiting_.empty())
      ++count_;
    else
      waiting_.resume_one();
  }

 private:
  size_t count_;
  WaitList waiting_;
};

// const AsyncMutex::Guard guard = co_await mutex.lock();
class AsyncMutex {
 public:
  class [[nodiscard]] Guard {
   public:
    explicit Guard(AsyncMutex* mutex) noexcept : mutex_(mutex) {}
    Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() { unlock(); }
    void unlock() {
      if (AsyncMutex* mutex = std::exchange(mutex_, nullptr)) mutex->places_.release();
    }

   private:
    AsyncMutex* mutex_;
  };

  auto lock() noexcept {
    struct Awaiter : decltype(std::declval<Semaphore&>().acquire()) {
      AsyncMutex* mutex;
      Guard await_resume() const noexcept { return Guard(mutex); }
    };
    return Awaiter{{places_.acquire()}, this};
  }

 private:
  Semaphore places_{1};
};

// A condition that stays true once set, until reset: co_await event.wait();
class Event {
 public:
  bool is_set() const noexcept { return set_; }
  void set() {
    set_ = true;
    waiting_.resume_all();
  }
  void reset() noexcept { set_ = false; }

  auto wait() noexcept {
    struct Awaiter {
      Event& self;
      bool await_ready() const noexcept { return self.set_; }
      void await_suspend(std::coroutine_handle<> handle) const { self.waiting_.park(handle); }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }

 private:
  bool set_ = false;
  WaitList waiting_;
};

}  // namespace vireo
