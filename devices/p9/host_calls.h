// Which thread makes a server's calls on the host: whoever runs, the loop's own thread, or one of a
// pool.
//
// Calls that may wait for the host run on the pool, so that a slow file system holds up nobody
// else; what the host has in memory is answered at once, by whoever the loop belongs to. The thread
// of a loop that serves only the share makes short calls on a local file system itself while
// requests come one by one: most of the time of such a request is what it takes to wake a thread. A
// vCPU that has borrowed the loop leaves even those to the loop's thread.
//
// Thread: the loop's, or its borrower's. Owns the pool.
#pragma once

#include <atomic>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "devices/p9/host.h"
#include "devices/p9/local_fs.h"
#include "devices/p9/result.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/worker_pool.h"

namespace vireo::p9 {

class HostCalls {
 public:
  // `own_loop`: the loop serves nothing else. Both references outlive it.
  HostCalls(EventLoop& loop, const LocalFs& fs, bool own_loop, std::unique_ptr<WorkerPool> pool)
      : loop_(loop), fs_(fs), own_loop_(own_loop), pool_(std::move(pool)) {}

  // A request has come; `alone`: no other waits to be served.
  void arrived(bool alone) noexcept { alone_ = alone; }
  // The requests under way, from their first call on.
  void began() noexcept { ++under_way_; }
  void ended() noexcept { --under_way_; }

  // Awaits the call's result, a Result or an Outcome; `function` lives in the awaiting frame. One
  // that is `given_up` before it was made is left undone: EINTR. short_call() takes the thread that
  // costs least; long_call() is for what may take long anywhere.
  using GivenUp = std::atomic<bool>;
  template <class Function>
  auto short_call(Function& function, const GivenUp* given_up = nullptr) {
    return Made<Function>{*this, where(), function, given_up};
  }
  template <class Function>
  auto long_call(Function& function, const GivenUp* given_up = nullptr) {
    return Made<Function>{*this, Where::pool, function, given_up};
  }

  // Whether to ask the host first for what needs no waiting: there is no use in it where
  // short_call() waits at once.
  bool asks_cache() const noexcept { return where() != Where::here; }
  // The same for data, which other requests would wait for.
  bool asks_cache_for_data() const noexcept { return under_way_ == 1 && asks_cache(); }
  // Whether to look at the file waits for nobody: it is on the share's own, local file system.
  bool is_at_hand(const FileId& file) const noexcept {
    return fs_.is_local() && !fs_.is_mapped() && file.device == fs_.root_attributes().device;
  }

 private:
  enum class Where : uint8_t { here, loop, pool };

  Where where() const noexcept {
    if (!own_loop_ || !fs_.is_local() || !alone_ || under_way_ > 1) return Where::pool;
    return loop_.is_borrowed() ? Where::loop : Where::here;
  }

  template <class Function>
  struct Made {
    using Answer = decltype(std::declval<Function&>()());

    HostCalls& calls;
    const Where where;
    Function& function;
    const GivenUp* given_up;
    std::optional<Answer> answer{};

    bool await_ready() {
      if (where == Where::here) make();
      return where == Where::here;
    }
    void await_suspend(std::coroutine_handle<> handle) {
      if (where == Where::loop) return on_loop(handle);
      calls.pool_->submit([this, handle] {
        make();
        calls.loop_.post([handle] { handle.resume(); });
      });
    }
    Answer await_resume() { return std::move(*answer); }

    void on_loop(std::coroutine_handle<> handle) {
      calls.loop_.post([this, handle] {
        make();
        handle.resume();
      });
    }
    void make() {
      if (given_up != nullptr && *given_up)
        answer.emplace(Failure{EINTR});
      else
        answer.emplace(function());
    }
  };

  EventLoop& loop_;
  const LocalFs& fs_;
  const bool own_loop_;
  const std::unique_ptr<WorkerPool> pool_;
  bool alone_ = true;  // of the request that came last
  size_t under_way_ = 0;
};

}  // namespace vireo::p9
