#include "devices/virtio/net_receive.h"

#include <utility>

namespace vireo::dev {

Task<void> NetReceiver::serve() {
  Queue& queue = own_.work.queue();
  ReceiveBuffers buffers(queue, net_.negotiated(kNetMergeBuffers));
  bool has_paused = false;
  while (!queue.stopping()) {
    own_.pacing.forget();
    const Delivery delivery = deliver(buffers, std::exchange(has_paused, false));
    queue.notify();
    const bool acknowledges = sending_.has_moved_much();
    if (delivery == Delivery::no_buffers) {
      co_await queue.kicked();
    } else if (acknowledges) {
      co_await own_.pacing.pause();
      has_paused = true;
    } else {
      co_await own_.pacing.woken();
    }
  }
  buffers.release();
}

NetReceiver::Delivery NetReceiver::deliver(ReceiveBuffers& buffers, bool has_paused) {
  NetStatistics::Direction& counted = net_.statistics.received;
  bool early = !has_paused;
  for (size_t turn = 0; turn < NetQueue::kTurn; turn += NetQueue::kFrameCost) {
    if (buffers.waiting() && !count(buffers.resume())) return Delivery::no_buffers;
    if (!net_.may_go(net_.receive_limit, own_)) return Delivery::later;
    if (!buffers.fill()) return Delivery::no_buffers;
    const NetBackend::Received frame = net_.backend->receive(pair_, buffers.space());
    if (frame.length == 0) return Delivery::later;
    turn += frame.length;
    net_.receive_limit.take(frame.length);
    if (!net_.link || !wanted(buffers)) {
      ++counted.refused;
      continue;
    }
    counted.bytes += frame.length;
    own_.moved += frame.length;
    if (!count(buffers.put(frame.header, frame.length))) return Delivery::no_buffers;
    // The first of a batch does not wait for the others, nor for the news that there are none;
    // after a pause it has waited already.
    if (std::exchange(early, false)) own_.work.queue().notify();
  }
  own_.pacing.wake_after(std::chrono::nanoseconds(0));
  return Delivery::later;
}

bool NetReceiver::wanted(const ReceiveBuffers& buffers) const {
  return net_.state.promiscuous ||
         net_.state.accepts(buffers.start_of_frame(), net_.mac(), net_.negotiated(kNetControlVlan));
}

// False when the frame waits for more buffers.
bool NetReceiver::count(ReceiveBuffers::Put put) noexcept {
  if (put == ReceiveBuffers::Put::waits) return false;
  NetStatistics::Direction& counted = net_.statistics.received;
  ++(put == ReceiveBuffers::Put::done ? counted.frames : counted.dropped);
  return true;
}

}  // namespace vireo::dev
