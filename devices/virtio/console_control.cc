#include "devices/virtio/console_control.h"

#include <utility>

namespace vireo::dev {

namespace {

constexpr uint32_t kPort = 0;  // the only one

}  // namespace

void ConsoleControl::start_queue(uint16_t index, std::unique_ptr<Queue> queue) {
  if (index == kReceive) {
    receiver_.start(std::move(queue));
    receiver_.spawn(announce());
  } else {
    transmitter_.start(std::move(queue));
    transmitter_.spawn(listen());
  }
}

Task<std::optional<QueueState>> ConsoleControl::stop_queue(uint16_t index) {
  QueueWork& work = index == kReceive ? receiver_ : transmitter_;
  if (work) work.queue().stop();
  if (index == kReceive) has_news_.set();
  return work.stop();
}

Task<void> ConsoleControl::listen() {
  Queue& queue = transmitter_.queue();
  do {
    while (auto chain = queue.pop()) {
      ConsoleControlMessage message{};
      ReadCursor from = chain->readable();
      if (from.remaining() >= sizeof(message)) {
        from.read(writable_bytes_of(message));
        handle(message);
      }
      queue.push(std::move(*chain), 0);
    }
    queue.notify();
  } while (co_await queue.kicked());
}

// A driver that says it again is told again, and no more often than it has buffers for.
void ConsoleControl::handle(const ConsoleControlMessage& message) {
  if (message.event == kConsoleDeviceReady && message.value == 1) waiting_ |= kAdded;
  if (message.event == kConsolePortReady && message.id == kPort && message.value == 1)
    waiting_ |= kNamed | kOpened;
  if (waiting_ != 0) has_news_.set();
}

Task<void> ConsoleControl::announce() {
  Queue& queue = receiver_.queue();
  while (!queue.stopping()) {
    tell(queue);
    if (waiting_ != 0) {
      co_await queue.kicked();
    } else {
      has_news_.reset();
      co_await has_news_.wait();
    }
  }
}

void ConsoleControl::tell(Queue& queue) {
  while (waiting_ != 0) {
    auto chain = queue.pop();
    if (!chain) break;
    const auto first = static_cast<uint8_t>(waiting_ & -waiting_);
    const size_t count = chain->writable().write(message(first));
    waiting_ = static_cast<uint8_t>(waiting_ & ~first);
    queue.push(std::move(*chain), static_cast<uint32_t>(count));
  }
  queue.notify();
}

std::vector<std::byte> ConsoleControl::message(uint8_t announcement) const {
  const uint16_t event = announcement == kAdded   ? kConsolePortAdd
                         : announcement == kNamed ? kConsolePortName
                                                  : kConsolePortOpen;
  ByteWriter writer;
  writer.put(ConsoleControlMessage{.id = kPort, .event = event, .value = uint16_t{1}});
  if (announcement == kNamed) writer.put(bytes_of_text(port_));
  return writer.take();
}

}  // namespace vireo::dev
