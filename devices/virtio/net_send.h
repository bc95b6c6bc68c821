// Frames from the guest to a network device's backend, of one queue pair (virtio 1.2, 5.1.6.2).
// They stay in the driver's buffers while the backend takes none.
//
// Thread: the device's loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "devices/virtio/net_interface.h"
#include "devices/virtio/net_outgoing.h"
#include "devices/virtio/net_queue.h"
#include "vmm/base/task.h"

namespace vireo::dev {

class NetSender {
 public:
  // All outlive it; `receiving` is the pair's other queue.
  NetSender(NetInterface& net, uint16_t pair, NetQueue& own, NetQueue& receiving) noexcept
      : net_(net), pair_(pair), own_(own), receiving_(receiving) {}
  // Until the queue stops.
  Task<void> serve();

 private:
  Task<std::optional<size_t>> send_some();
  std::optional<OutgoingFrame> take(ReadCursor& chain);
  bool try_to_send(const OutgoingFrame& frame);
  Task<bool> wait_to_send(const OutgoingFrame& frame);

  NetInterface& net_;
  const uint16_t pair_;
  NetQueue& own_;
  NetQueue& receiving_;
};

}  // namespace vireo::dev
