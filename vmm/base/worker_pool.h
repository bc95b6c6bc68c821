// Blocking calls off the loop: int r = co_await offload(pool, loop, fn);
//
// The pool's threads start when they are needed, up to its size; work is taken in order of arrival.
// The coroutine is resumed on `loop`. The destructor finishes what was queued, and what that
// queues. The loop outlives the pool: declare it first.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "vmm/base/event_loop.h"

namespace vireo {

class WorkerPool {
 public:
  // Most of them wait for disks: as many as a disk can serve at once are useful.
  static constexpr size_t kThreads = 64;

  explicit WorkerPool(size_t threads = kThreads) noexcept : limit_(threads) {
    VMM_CHECK(threads > 0, "a pool has a thread");
  }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  virtual ~WorkerPool();

  // Any thread; `work` must not throw. When the host lets not even one thread start, this does the
  // work itself: late is better than never. A test's pool decides itself when the work is done, and
  // by whom.
  virtual void submit(std::function<void()> work);

 private:
  void start_thread();  // with mutex_ held
  void serve();

  const size_t limit_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_, as the three below
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

// Runs `function` (must not throw, must return a value) on the pool; the awaiting coroutine goes on
// with its result on `loop`. What the function refers to lives in the awaiting frame.
template <class Function>
auto offload(WorkerPool& pool, EventLoop& loop, Function& function) {
  using Result = decltype(function());
  struct Awaiter {
    WorkerPool& pool;
    EventLoop& loop;
    Function& function;
    std::optional<Result> result{};
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      pool.submit([this, handle] {
        result.emplace(function());
        loop.post([handle] { handle.resume(); });
      });
    }
    Result await_resume() { return std::move(*result); }
  };
  return Awaiter{pool, loop, function};
}

}  // namespace vireo
