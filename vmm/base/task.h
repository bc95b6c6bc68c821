// Lazy coroutines. A Task runs only when it is awaited, on the thread that awaits it, and is
// awaited exactly once. No thread of its own, no allocation besides its frame.
//
// Rules that keep g++ 12 and clang 14 honest (tools/lint/coro.py checks 1, 3 and what shows of 6,
// task_test.cc is the canary):
//  1. Coroutines are named functions or members; a lambda is never a coroutine.
//  2. Parameters by value, or `this`; a reference only to what the joined Scope outlives.
//  3. The operand of co_await is one call with named arguments: no temporary with a destructor but
//     the returned Task itself, no ?:, no structured binding and no negation of the result.
//  4. A started Task runs to its end before it is destroyed, and goes on, whatever it waits for, on
//     the thread that started it: whoever resumes it posts to that thread's loop.
//  5. Ready awaits do not nest the stack: await_suspend resumes the callee itself and goes straight
//     on when it has finished, instead of a symmetric transfer that unoptimised code does not make
//     a tail call.
//  6. Resuming is the last thing. A coroutine that goes on may end whatever resumed it and all that
//     owns it, so that nothing of the resumer's own is touched afterwards: what is to be resumed is
//     first taken to the stack. A coroutine that resumes others is safe, for it is joined before
//     what it uses goes (rule 4). A callback is joined by nobody: it lets waiters go with its last
//     statement, or owns what it still touches then, as FdReadiness' does. The primitives of
//     async_sync.h, Scope, offload(), sleep() and the loop itself can all be destroyed, as far as
//     they can be at all, by the coroutine that they resume.
//  7. What others may change meanwhile is not read again after a co_await as if it were the same: a
//     task holds by value, or shares the ownership of, what it acts on before it first waits, and
//     changes it only after a comparison with that (devices/p9/session.h is the pattern).
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include "vmm/base/error.h"

namespace vireo {

template <class T>
class Task;

namespace detail {

class TaskPromiseBase {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> finished) const noexcept {
      TaskPromiseBase& promise = finished.promise();
      if (std::exchange(promise.starting_, false)) return;  // start() sees it and goes on by itself
      promise.continuation_.resume();
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { exception_ = std::current_exception(); }

  // Runs the coroutine up to its first real suspension; true when it has to be waited for.
  bool start(std::coroutine_handle<> self, std::coroutine_handle<> continuation) {
    VMM_CHECK(!continuation_, "a Task is awaited once");
    continuation_ = continuation;
    starting_ = true;
    self.resume();
    return std::exchange(starting_, false);
  }

 protected:
  void rethrow_if_failed() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::coroutine_handle<> continuation_;
  std::exception_ptr exception_;
  bool starting_ = false;
};

template <class T>
class TaskPromise : public TaskPromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T result() {
    rethrow_if_failed();
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void result() const { rethrow_if_failed(); }
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(Handle handle) noexcept : handle_(handle) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> awaiting) {
      return handle_.promise().start(handle_, awaiting);
    }
    T await_resume() { return handle_.promise().result(); }

   private:
    Handle handle_;
  };
  Awaiter operator co_await() const noexcept {
    VMM_CHECK(handle_, "a Task is not awaited after it was moved from");
    return Awaiter(handle_);
  }

 private:
  friend promise_type;
  explicit Task(Handle handle) noexcept : handle_(handle) {}
  Handle handle_;
};

template <class T>
Task<T> detail::TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> detail::TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

// A coroutine that starts at once, owns itself and ends the process on an exception: the seam
// between callbacks and Tasks. Used by Scope and block_on; devices use Scope.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

// A nursery: the tasks spawned here run concurrently on one loop, and join() waits for them all.
// An exception that leaves a spawned task (memory that there is not, for data paths return values)
// is given to `failed`, on the loop's thread, which EventLoop::fail() makes the end of a machine;
// without `failed` it ends the process. Must be joined before it is destroyed.
class Scope {
 public:
  using Failed = std::function<void(std::exception_ptr why)>;
  explicit Scope(Failed failed = nullptr) : failed_(std::move(failed)) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { VMM_CHECK(running_ == 0, "a Scope is joined before it is destroyed"); }

  void spawn(Task<void> task) {
    ++running_;
    run(std::move(task));
  }
  size_t running() const noexcept { return running_; }

  // One waiter at a time. co_await scope.join();
  auto join() noexcept {
    struct Awaiter {
      Scope& scope;
      bool await_ready() const noexcept { return scope.running_ == 0; }
      void await_suspend(std::coroutine_handle<> waiter) const noexcept {
        VMM_CHECK(!scope.joiner_, "a Scope has one joiner");
        scope.joiner_ = waiter;
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }

 private:
  Detached run(Task<void> task) {
    std::exception_ptr failure;
    try {
      const Task<void> running = std::move(task);
      co_await running;
    } catch (...) {
      failure = std::current_exception();
    }  // what the task held is gone before the joiner goes on, who may destroy what it referred to
    if (failure) tell(failure);
    if (--running_ == 0 && joiner_) std::exchange(joiner_, nullptr).resume();
  }

  void tell(const std::exception_ptr& failure) const {
    if (!failed_) std::rethrow_exception(failure);
    failed_(failure);
  }

  const Failed failed_;
  size_t running_ = 0;
  std::coroutine_handle<> joiner_;
};

}  // namespace vireo
