// What is asked of a machine's control thread: it takes one request after the other, in their
// order.
//
// Each kind of request waits at most once, so that a guest that asks for a reset a million times
// fills no memory: asked again, a request stays what it was and moves behind what was asked since.
// Urgent ones stop the guest at once, and it does not go on while one of them waits. The last one
// ends the queue: what waits is dropped, and what comes later is not taken.
//
// Thread: any but for take(), which is the control thread's. One mutex, under which `stop_guest`
// is called; requests run without it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace vireo {

class ControlQueue {
 public:
  using Function = std::function<void()>;
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;
  enum class Kind : uint8_t { reset, pause, resume, end };

  // `stop_guest` asks the guest's processors to leave it; it waits for nothing.
  explicit ControlQueue(Function stop_guest) : stop_guest_(std::move(stop_guest)) {}

  void post(Kind kind, Function run);
  void post_urgent(Kind kind, Function run);
  void post_last(Function run);  // urgent; the first one counts

  // Takes a request back; false: none of the kind waits.
  bool withdraw(Kind kind);
  bool has_ended() const;  // the last request was posted
  // Runs the function (which lets the guest go on), unless something urgent waits. An urgent
  // request that comes meanwhile stops the guest afterwards.
  void unless_urgent(const Function& run) const;

  // The next request, for which it waits; nothing when none has come by the deadline.
  Function take(Deadline deadline);

 private:
  struct Request {
    Kind kind;
    bool urgent;
    Function run;
  };

  void add(Request request);
  void add_locked(Request request);

  const Function stop_guest_;
  mutable std::mutex mutex_;
  std::condition_variable posted_;
  std::vector<Request> waiting_;  // guarded by mutex_
  bool ended_ = false;            // guarded by mutex_
};

}  // namespace vireo
