// Waits for one descriptor, for coroutines: while (errno == EAGAIN) co_await ready.readable();
//
// Thread: the loop's. The descriptor is the caller's and stays open meanwhile; one reader and one
// writer wait at a time. Both are told of the descriptor's end (a hang-up, an error). Whoever is
// resumed may destroy this object, also while the other is still to be resumed: what the watch's
// callback touches belongs to the callback.
#pragma once

#include <memory>

#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"

namespace vireo {

class FdReadiness {
 public:
  // The descriptor does not block and is watched by nobody else on the loop. Throws as watch().
  FdReadiness(EventLoop& loop, int fd);

  // Until the descriptor is ready anew: after a call on it that said EAGAIN, in the same turn.
  auto readable() noexcept { return anew(state_->readable); }
  auto writable() noexcept { return anew(state_->writable); }

 private:
  struct State {
    Event readable{}, writable{};
  };
  static decltype(std::declval<Event&>().wait()) anew(Event& event) noexcept {
    event.reset();
    return event.wait();
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
  EventLoop::Registration watch_;
};

}  // namespace vireo
