// When the task that serves a queue looks at it again: when it is woken, after a time, or after a
// pause in which requests gather, so that one notification and one interrupt do for several.
//
// Thread: the device's loop. One task waits at a time. stop() comes before the task is joined.
#pragma once

#include <chrono>

#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/task.h"

namespace vireo::dev {

class QueuePacing {
 public:
  static constexpr std::chrono::microseconds kPause{30};  // between two looks

  explicit QueuePacing(EventLoop& loop) noexcept : loop_(loop) {}
  QueuePacing(const QueuePacing&) = delete;
  QueuePacing& operator=(const QueuePacing&) = delete;

  // There is something to look at: the next woken() returns, and a pause ends.
  void wake() { wake_.set(); }
  // What wake() said before is known.
  void forget() noexcept { wake_.reset(); }
  // forget(), and wake() after that time.
  void wake_after(std::chrono::nanoseconds delay);
  // Until wake().
  auto woken() noexcept { return wake_.wait(); }

  // Waits for so long, or until wake().
  Task<void> pause(std::chrono::nanoseconds length = kPause);
  bool pausing() const noexcept { return pausing_; }

  // Lets the task go at once, which finds its queue stopping.
  void stop();

 private:
  EventLoop& loop_;
  Event wake_;
  EventLoop::Registration timer_;
  bool pausing_ = false;
};

}  // namespace vireo::dev
