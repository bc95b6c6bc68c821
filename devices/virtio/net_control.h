// The control queue of a network device (virtio 1.2, 5.1.6.5): what its driver sets while it runs.
//
// Thread: the device's loop. What a command says is the guest's: one that can not be is answered
// with an error and changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "devices/virtio/net_interface.h"
#include "devices/virtio/queue.h"
#include "vmm/base/task.h"

namespace vireo::dev {

class NetControl {
 public:
  // The interface outlives it. `config_changed`: a command has changed the configuration space.
  NetControl(NetInterface& net, std::function<void()> config_changed)
      : net_(net), config_changed_(std::move(config_changed)) {}
  // Until the queue stops; it outlives that.
  Task<void> serve(Queue& queue);

 private:
  bool execute(NetCommand command, ReadCursor& cursor);
  bool set_addresses(uint8_t command, std::span<const std::byte> data);
  bool set_queue_pairs(uint16_t wanted);
  bool set_offloads(uint64_t wanted);
  bool finish_announcement();

  NetInterface& net_;
  const std::function<void()> config_changed_;
};

}  // namespace vireo::dev
