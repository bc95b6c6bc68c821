// virtio-net (virtio 1.2, 5.1): a guest's network interface over a backend of devices/net.
//
// Thread: its loop, for all of it. Owns the backend. Of each queue pair one coroutine receives and
// one sends; they keep frames where they are while the other side has no room, so nothing is lost
// to a slow peer and nothing is kept here but what the driver's buffers hold.
// The state is what the driver has set (net_state.h). After a restore the guest is asked to
// announce itself, as it may be on another wire. The link is not state: it is as the backend and
// the embedder say.
// What a driver sends that it should not is dropped and counted.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/net/backend.h"
#include "devices/virtio/device.h"
#include "devices/virtio/net_control.h"
#include "devices/virtio/net_interface.h"
#include "devices/virtio/net_loan.h"
#include "devices/virtio/net_receive.h"
#include "devices/virtio/net_send.h"
#include "devices/virtio/net_state.h"

namespace vireo::dev {

class Net final : public VirtioDevice, private NetFrontend {
 public:
  using State = NetState;
  static constexpr uint16_t kMaxQueuePairs = 16;
  static constexpr uint16_t kQueueSize = 256;
  static constexpr uint16_t kMinMtu = 68;

  // Throws ConfigError on options that can not be, StateError on a state that no driver can set.
  Net(std::string name, VirtioEnv env, std::unique_ptr<NetBackend> backend, const NetConfig& config,
      State state = {});
  ~Net() override;

  // Pulls the plug, and puts it in again. Thread: the loop, or the control thread before start.
  void set_link(bool up);
  const NetStatistics& statistics() const noexcept { return net_.statistics; }
  const NetBackend& backend() const noexcept { return *net_.backend; }

  const VirtioInfo& info() const noexcept override { return info_; }
  std::vector<std::byte> config() const override;
  void machine_started() override;
  void machine_stopped() override;
  void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) override;
  Task<std::optional<QueueState>> stop_queue(uint16_t index) override;
  void reset() override;
  void save(StateWriter& writer) const override;
  Task<void> close() override;

 private:
  // NetFrontend
  void frames_arrived(uint16_t pair) override {
    QueuePacing& pacing = queues_[size_t{2} * pair].pacing;
    if (!pacing.pausing()) pacing.wake();
  }
  void can_send(uint16_t pair) override { queues_[size_t{2} * pair + 1].pacing.wake(); }
  void link_changed() override { config_changed(); }

  uint16_t known_pairs() const noexcept;
  bool is_control(uint16_t index) const noexcept;
  void check_state() const;
  void configure();

  const bool restored_;
  bool announced_ = false;  // the guest of a restored machine has been asked
  NetInterface net_;
  const VirtioInfo info_;
  NetControl control_;
  NetLoan loan_;
  std::deque<NetQueue> queues_;  // of each pair the one to receive and the one to send; control
  std::deque<NetReceiver> receivers_;
  std::deque<NetSender> senders_;
};

}  // namespace vireo::dev
