// A virtqueue as its device sees it: requests come out of pop() checked, go back in any order with
// push(), and kicked() waits for more.
//
//   do {
//     while (auto chain = queue.pop()) handle(std::move(*chain));
//     queue.notify();
//   } while (co_await queue.kicked());
//
// Thread: the device's loop. Owned by the device from start_queue() to stop_queue(); must outlive
// its chains and whoever waits in kicked().
// A ring that breaks the rules of virtio 1.2, 2.7 ends the queue: pop() gives nothing more, and the
// transport is told, which sets DEVICE_NEEDS_RESET. Nothing the guest does throws here.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "devices/virtio/chain.h"
#include "devices/virtio/ring.h"
#include "vmm/base/event_loop.h"
#include "vmm/memory/guest_memory.h"

namespace vireo::dev {

// How far a queue has come; all there is to save of one that has drained.
struct QueueState {
  uint16_t next_available = 0;
  uint16_t next_used = 0;
  static void fields(auto& self, auto& archive) {
    archive("next_available", self.next_available)("next_used", self.next_used);
  }
  bool operator==(const QueueState&) const = default;
};

// What a queue needs of its surroundings; all outlive it.
struct QueueEnv {
  const GuestMemory& memory;
  EventLoop& loop;
  int kick;                         // an eventfd the driver's notifications arrive at
  std::function<void()> interrupt;  // tells the driver of used buffers
  std::function<void(std::string_view)> malformed;  // the driver broke the ring
};

class Queue {
 public:
  // nullptr when the driver's layout can not be used. `features` are the negotiated ones.
  static std::unique_ptr<Queue> create(QueueEnv env, const QueueLayout& layout, uint64_t features,
                                       QueueState state);
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue();  // all chains are back

  // The next request; nothing when there is none, the queue is stopping or malformed, or after as
  // many requests as the queue has entries since kicked(): then it is others' turn on the loop.
  std::optional<Chain> pop();
  // Gives the request back; `written` bytes of its writable part, from its start, are valid.
  void push(Chain chain, uint32_t written);
  // The same for requests that belong together: the driver sees them all at once, with the
  // publish() that follows, before anything else is done with the queue.
  void put(Chain chain, uint32_t written);
  void publish() noexcept { ring_.publish_used(next_used_); }
  // Undoes the last pop() that is still under way: the driver never learns of it, and the request
  // comes again. For devices that serve in order and have to stop in the middle: those after it
  // have been put back before.
  void put_back(Chain chain);
  // Takes a request out of the queue without giving it back: one that has to wait until the queue
  // was stopped and started anew. Its head, for take_again() on that queue.
  uint16_t keep(Chain chain);
  // A request that was kept, checked like any other; before the first pop(). Nothing, and the queue
  // is malformed, when the driver has made nonsense of it meanwhile.
  std::optional<Chain> take_again(uint16_t head);
  // Interrupts the driver if it wants to know of what was pushed since. Once per batch.
  void notify();
  // Requests that went back since notify() last decided.
  size_t unannounced() const noexcept { return static_cast<uint16_t>(next_used_ - notified_used_); }

  class KickAwaiter {
   public:
    explicit KickAwaiter(Queue& queue) noexcept : queue_(queue) {}
    bool await_ready() { return queue_.ready_or_armed(); }
    void await_suspend(std::coroutine_handle<> waiter) { queue_.park(waiter); }
    bool await_resume() { return queue_.wake(); }

   private:
    Queue& queue_;
  };
  // Until there may be requests: true; false when the queue is stopping. One waiter at a time.
  KickAwaiter kicked() noexcept { return KickAwaiter(*this); }

  // The driver's notification, where it does not come by the eventfd: who waits in kicked() goes
  // on.
  void kick() { resume_waiter(); }

  // From here on pop() gives nothing and kicked() gives false. Chains still go back.
  void stop();
  bool stopping() const noexcept { return stopping_; }
  QueueState state() const noexcept { return {next_available_, next_used_}; }

  // For a ring that the kernel serves for a while: what it takes to do so. From lend() to
  // take_back() the queue itself does nothing; no request is under way then.
  struct Lent {
    const GuestMemory& memory;
    const SplitRing& ring;
    int kick;
    std::function<void()> interrupt;
    QueueState state;
  };
  Lent lend();
  void take_back(QueueState state);

  EventLoop& loop() const noexcept { return env_.loop; }
  size_t in_flight() const noexcept { return in_flight_count_; }
  uint16_t size() const noexcept { return ring_.size(); }

 private:
  Queue(QueueEnv env, const SplitRing& ring, uint64_t features, QueueState state);

  bool has_available();
  void fail(std::string_view why);
  std::optional<Chain> take(uint16_t head);
  void forget(Chain& chain);
  bool ready_or_armed();
  void park(std::coroutine_handle<> waiter);
  bool wake();
  void resume_waiter();
  void arm() noexcept;
  void watch_kick();

  QueueEnv env_;
  SplitRing ring_;
  bool event_idx_;
  bool indirect_;
  uint16_t next_available_;   // of the next request to take
  uint16_t known_available_;  // the driver's index when it was last looked at
  uint16_t next_used_;
  uint16_t notified_used_;       // next_used_ when notify() last decided
  uint32_t budget_;              // requests until it is others' turn
  std::vector<bool> in_flight_;  // by head
  size_t in_flight_count_ = 0;
  bool malformed_ = false;
  bool stopping_ = false;
  std::coroutine_handle<> waiter_;
  EventLoop::Registration kick_watch_;
};

}  // namespace vireo::dev
