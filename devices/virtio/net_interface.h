// What the parts of a network device share: its backend, what the driver has set and negotiated,
// and what was counted.
//
// Thread: the device's loop. Owns the backend.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "devices/net/backend.h"
#include "devices/net/rate_limit.h"
#include "devices/virtio/net_queue.h"
#include "devices/virtio/net_state.h"
#include "devices/virtio/net_wire.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"

namespace vireo::dev {

struct NetConfig {
  MacBytes mac{};    // one interface's: not multicast, not zero
  uint16_t mtu = 0;  // 0: what the backend says
  NetRates rates{};  // of each direction
};

struct NetStatistics {
  struct Direction {
    uint64_t frames = 0;
    uint64_t bytes = 0;
    uint64_t dropped = 0;  // for lack of room, or by the host
    uint64_t refused = 0;  // received: by the driver's filter; sent: malformed
  };
  Direction received{};
  Direction sent{};
};

struct NetInterface {
  const NetConfig config;
  const std::string name;
  EventLoop& loop;
  const Logger log;
  const std::unique_ptr<NetBackend> backend;
  NetState state;
  NetRateMeter receive_limit;
  NetRateMeter send_limit;
  NetStatistics statistics{};
  bool link = true;       // as the embedder wants it
  uint64_t features = 0;  // negotiated; of use only while a queue runs

  uint16_t pairs() const noexcept { return backend->traits().queue_pairs; }
  uint16_t mtu() const noexcept { return config.mtu != 0 ? config.mtu : backend->traits().mtu; }
  const MacBytes& mac() const noexcept { return state.mac == MacBytes{} ? config.mac : state.mac; }
  // What the device can do, for drivers to choose from.
  uint64_t offered() const noexcept;
  bool negotiated(uint64_t feature) const noexcept { return (features & feature) != 0; }
  // What the driver takes: as negotiated, or as it has said since.
  NetOffloads to_guest() const noexcept;
  // Whether another frame keeps to the limit; if not, the queue's task is woken when one does.
  bool may_go(NetRateMeter& limit, NetQueue& queue) const;
};

}  // namespace vireo::dev
