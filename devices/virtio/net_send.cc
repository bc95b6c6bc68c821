#include "devices/virtio/net_send.h"

#include <utility>

namespace vireo::dev {

Task<void> NetSender::serve() {
  Queue& queue = own_.work.queue();
  do {
    for (bool again = true; again;) {
      const std::optional<size_t> turn = co_await send_some();
      if (!turn) co_return;
      queue.notify();
      const bool acknowledges = *turn > 0 && receiving_.has_moved_much();
      again = *turn >= NetQueue::kTurn || acknowledges;
      const auto break_for = acknowledges ? QueuePacing::kPause : std::chrono::microseconds(0);
      if (again) co_await own_.pacing.pause(break_for);
    }
  } while (co_await queue.kicked());
}

// What the frames of this turn count for; nothing when the queue is to stop.
Task<std::optional<size_t>> NetSender::send_some() {
  Queue& queue = own_.work.queue();
  size_t turn = 0;
  while (turn < NetQueue::kTurn) {
    auto chain = queue.pop();
    if (!chain) break;
    turn += NetQueue::kFrameCost + chain->readable().remaining();
    const std::optional<OutgoingFrame> frame = take(chain->readable());
    bool done = !frame || try_to_send(*frame);
    if (!done) done = co_await wait_to_send(*frame);
    if (!done) {
      queue.put_back(std::move(*chain));
      co_return std::nullopt;
    }
    queue.push(std::move(*chain), 0);
  }
  co_return turn;
}

std::optional<OutgoingFrame> NetSender::take(ReadCursor& chain) {
  std::optional<OutgoingFrame> frame = take_outgoing(chain, net_.features);
  if (frame) return frame;
  ++net_.statistics.sent.refused;
  net_.log.guest_noise(net_.name, "a frame to send is malformed");
  return frame;
}

// False when the queue is to stop before the frame went out.
Task<bool> NetSender::wait_to_send(const OutgoingFrame& frame) {
  Queue& queue = own_.work.queue();
  do {
    queue.notify();
    co_await own_.pacing.woken();
    if (queue.stopping()) co_return false;
  } while (!try_to_send(frame));
  co_return true;
}

// False when it has to wait until woken.
bool NetSender::try_to_send(const OutgoingFrame& frame) {
  own_.pacing.forget();
  if (!net_.may_go(net_.send_limit, own_)) return false;
  NetBackend::Sent sent = NetBackend::Sent::dropped;
  if (net_.link) sent = net_.backend->send(pair_, frame.header, frame.parts);
  if (sent == NetBackend::Sent::full) return false;
  net_.send_limit.take(frame.length);
  NetStatistics::Direction& counted = net_.statistics.sent;
  if (sent == NetBackend::Sent::dropped) {
    ++counted.dropped;
  } else {
    ++counted.frames;
    counted.bytes += frame.length;
    own_.moved += frame.length;
  }
  return true;
}

}  // namespace vireo::dev
