// Waiting between coroutines of one loop: none of this is atomic, nothing here blocks a thread, and
// nothing is allocated: who waits is noted in the frame of the coroutine that does.
//
// Waiters are served first come, first served, and resumed inside the call that lets them go; a
// waiter so resumed that lets others go in its turn only marks them, and that call resumes them
// too. A waiter may destroy the object that lets it go (task.h, rule 6), together with everything
// that owns it: when nobody else waits, no call here touches the object after a waiter ran.
#pragma once

#include <coroutine>
#include <cstddef>
#include <utility>

#include "vmm/base/error.h"

namespace vireo {

// Coroutines parked in order of arrival.
class WaitList {
 public:
  // In the awaiter, which is in the frame of the coroutine that waits.
  struct Waiter {
    std::coroutine_handle<> handle{};
    Waiter* next = nullptr;
  };

  WaitList() = default;
  WaitList(WaitList&& other) noexcept : waiting_(std::exchange(other.waiting_, {})) {
    VMM_CHECK(other.turn_ == nullptr, "a list that lets waiters go stays where it is");
  }
  WaitList& operator=(WaitList&&) = delete;
  ~WaitList() {
    VMM_CHECK(empty(), "nobody waits for what goes");
    if (turn_ != nullptr) turn_->list_is_gone = true;
  }

  // Nobody waits who has not been let go.
  bool empty() const noexcept { return waiting_.empty(); }
  void park(Waiter& waiter, std::coroutine_handle<> handle) noexcept {
    waiter = {handle, nullptr};
    waiting_.push(waiter);
  }
  // Lets the first go; not when empty(). A chain of hand-overs (each waiter lets the next go) stays
  // one call deep, for the guest decides how many of its requests wait.
  void resume_one() {
    Waiter& first = waiting_.pop();
    if (turn_ != nullptr) return turn_->due.push(first);
    Turn turn;
    turn.due.push(first);
    turn_ = &turn;
    while (!turn.due.empty()) turn.due.pop().handle.resume();
    if (!turn.list_is_gone) turn_ = nullptr;
  }
  // Those who park anew meanwhile wait for the next call.
  void resume_all() {
    Queue all = std::exchange(waiting_, {});
    while (!all.empty()) all.pop().handle.resume();
  }

 private:
  class Queue {
   public:
    bool empty() const noexcept { return first_ == nullptr; }
    void push(Waiter& waiter) noexcept {
      waiter.next = nullptr;
      (first_ == nullptr ? first_ : last_->next) = &waiter;
      last_ = &waiter;
    }
    Waiter& pop() noexcept { return *std::exchange(first_, first_->next); }

   private:
    Waiter* first_ = nullptr;
    Waiter* last_ = nullptr;
  };
  // Of the call of resume_one() under way, on whose stack it is: it outlives the list.
  struct Turn {
    Queue due{};
    bool list_is_gone = false;
  };

  Queue waiting_;
  Turn* turn_ = nullptr;
};

// co_await semaphore.acquire(); ... semaphore.release();
class Semaphore {
 public:
  // Gives back, at the end of its scope, what was acquired.
  class Place {
   public:
    explicit Place(Semaphore& semaphore) noexcept : semaphore_(semaphore) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { semaphore_.release(); }

   private:
    Semaphore& semaphore_;
  };

  explicit Semaphore(size_t count) noexcept : count_(count) {}

  auto acquire() noexcept {
    struct Awaiter {
      Semaphore& self;
      WaitList::Waiter waiter{};
      bool await_ready() const noexcept {
        if (self.count_ == 0) return false;
        --self.count_;
        return true;
      }
      void await_suspend(std::coroutine_handle<> handle) noexcept {
        self.waiting_.park(waiter, handle);
      }
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
      WaitList::Waiter waiter{};
      bool await_ready() const noexcept { return self.set_; }
      void await_suspend(std::coroutine_handle<> handle) noexcept {
        self.waiting_.park(waiter, handle);
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }

 private:
  bool set_ = false;
  WaitList waiting_;
};

}  // namespace vireo
