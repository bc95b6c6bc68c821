// The loan of a network device's queues to the kernel's vhost-net, where the backend has that.
//
// Thread: the device's loop; constructed on the control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "devices/virtio/net_interface.h"
#include "devices/virtio/queue.h"
#include "devices/virtio/vhost.h"

namespace vireo::dev {

class NetLoan {
 public:
  // The interface outlives it.
  explicit NetLoan(NetInterface& net);
  // Hands the queue of that index over. False when the kernel does not take it, or must not, as it
  // keeps to no rates: then the queue is as before.
  bool lend(uint16_t index, Queue& queue);
  // The queue is the device's again. Nothing when it was not lent.
  void end(uint16_t index);
  // Whether frames pass.
  void set_link(bool up);

 private:
  VhostNet* vhost(uint16_t pair) const noexcept {
    return pair < vhosts_.size() ? vhosts_[pair].get() : nullptr;
  }

  NetInterface& net_;
  std::vector<std::unique_ptr<VhostNet>> vhosts_;  // by queue pair; none where the backend has none
};

}  // namespace vireo::dev
