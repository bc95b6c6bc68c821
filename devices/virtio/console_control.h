// The control queues of a console device with one port that has a name (virtio 1.2, 5.3.6.2): they
// tell the driver that the port is there, what it is called, and that the host has it open.
//
// Thread: the device's loop. What waits to be told lies in the device's state.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "devices/virtio/console_wire.h"
#include "devices/virtio/device.h"
#include "vmm/base/async_sync.h"

namespace vireo::dev {

class ConsoleControl {
 public:
  static constexpr uint16_t kReceive = 2;  // queues, as the driver sees them
  static constexpr uint16_t kTransmit = 3;

  // What the driver is still to be told, in the order of the bits.
  enum Announcement : uint8_t { kAdded = 1 << 0, kNamed = 1 << 1, kOpened = 1 << 2 };
  static constexpr uint8_t kAll = kAdded | kNamed | kOpened;

  // `waiting` outlives it.
  ConsoleControl(std::string port, uint8_t& waiting) : port_(std::move(port)), waiting_(waiting) {}

  void start_queue(uint16_t index, std::unique_ptr<Queue> queue);
  Task<std::optional<QueueState>> stop_queue(uint16_t index);

 private:
  Task<void> listen();
  void handle(const ConsoleControlMessage& message);
  Task<void> announce();
  void tell(Queue& queue);
  std::vector<std::byte> message(uint8_t announcement) const;

  const std::string port_;
  uint8_t& waiting_;
  QueueWork receiver_;  // of the driver's: what it is told goes there
  QueueWork transmitter_;
  Event has_news_;  // or the receive queue is to stop
};

}  // namespace vireo::dev
