// Frames from a network device's backend to the guest, of one queue pair (virtio 1.2, 5.1.6.3,
// 5.1.6.4). They stay with the backend while the driver gives no buffers.
//
// Thread: the device's loop.
#pragma once

#include <cstdint>

#include "devices/virtio/net_buffers.h"
#include "devices/virtio/net_interface.h"
#include "devices/virtio/net_queue.h"
#include "vmm/base/task.h"

namespace vireo::dev {

class NetReceiver {
 public:
  // All outlive it; `sending` is the pair's other queue.
  NetReceiver(NetInterface& net, uint16_t pair, NetQueue& own, NetQueue& sending) noexcept
      : net_(net), pair_(pair), own_(own), sending_(sending) {}
  // Until the queue stops.
  Task<void> serve();

 private:
  enum class Delivery : uint8_t { no_buffers, later };

  Delivery deliver(ReceiveBuffers& buffers, bool has_paused);
  bool wanted(const ReceiveBuffers& buffers) const;
  bool count(ReceiveBuffers::Put put) noexcept;

  NetInterface& net_;
  const uint16_t pair_;
  NetQueue& own_;
  NetQueue& sending_;
};

}  // namespace vireo::dev
