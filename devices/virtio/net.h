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
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/net/backend.h"
#include "devices/net/rate_limit.h"
#include "devices/virtio/device.h"
#include "devices/virtio/net_buffers.h"
#include "devices/virtio/net_state.h"
#include "devices/virtio/net_wire.h"
#include "vmm/base/async_sync.h"

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
  const NetStatistics& statistics() const noexcept { return statistics_; }
  const NetBackend& backend() const noexcept { return *backend_; }

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
  // What serves one queue.
  struct QueueTasks {
    QueueWork work{};
    Event wake{};  // the backend has news, the rate allows more, or the queue is to stop
    EventLoop::Registration timer{};
    bool pausing = false;  // nothing but the timer and a stop wake it
    size_t bytes = 0;      // moved since the other direction looked
  };
  enum class Delivery : uint8_t { no_buffers, later };
  struct OutgoingFrame {
    NetHeader header;
    size_t length;
    std::vector<iovec> parts;       // of guest memory, or of copy
    std::vector<std::byte> copy{};  // when it lies in too many parts
  };

  // NetFrontend
  void frames_arrived(uint16_t pair) override {
    if (!receiving(pair).pausing) receiving(pair).wake.set();
  }
  void can_send(uint16_t pair) override { sending(pair).wake.set(); }
  void link_changed() override { config_changed(); }

  QueueTasks& receiving(uint16_t pair) { return *queues_[size_t{2} * pair]; }
  QueueTasks& sending(uint16_t pair) { return *queues_[size_t{2} * pair + 1]; }
  uint16_t pairs() const noexcept;
  bool negotiated(uint64_t feature) const noexcept { return (features_ & feature) != 0; }
  bool is_control(uint16_t index) const noexcept;
  void check_state() const;
  void configure();
  bool lend(uint16_t index);
  void end_loan(uint16_t index);
  NetOffloads to_guest() const noexcept;
  const MacBytes& mac() const noexcept;
  void wake_after(QueueTasks& tasks, std::chrono::nanoseconds delay);

  bool may_go(NetRateMeter& limit, QueueTasks& tasks);

  Task<void> receive_frames(uint16_t pair);
  Delivery deliver(uint16_t pair, ReceiveBuffers& buffers);
  bool wanted(const ReceiveBuffers& buffers) const;
  bool put_received(ReceiveBuffers::Put put) noexcept;
  static bool has_moved_much(QueueTasks& tasks) noexcept;
  Task<void> send_frames(uint16_t pair);
  Task<std::optional<size_t>> send_some(uint16_t pair);
  std::optional<OutgoingFrame> outgoing(ReadCursor& chain);
  bool try_to_send(uint16_t pair, const OutgoingFrame& frame);
  Task<bool> wait_to_send(uint16_t pair, const OutgoingFrame& frame);
  bool acceptable(const NetHeader& header, size_t length) const noexcept;
  static NetHeader clean(const NetHeader& header) noexcept;

  Task<void> serve_control(uint16_t index);
  bool execute(NetCommand command, ReadCursor& cursor);
  bool set_addresses(uint8_t command, std::span<const std::byte> data);
  bool set_queue_pairs(uint16_t wanted);
  bool set_offloads(uint64_t wanted);
  bool finish_announcement();

  const std::string name_;
  EventLoop& loop_;
  const Logger log_;
  const NetConfig config_;
  std::unique_ptr<NetBackend> backend_;
  const VirtioInfo info_;
  State state_;
  const bool restored_;
  bool announced_ = false;  // the guest of a restored machine has been asked
  bool link_ = true;        // as the embedder wants it
  uint64_t features_ = 0;   // negotiated; of use only while a queue runs
  std::vector<std::unique_ptr<QueueTasks>> queues_;
  NetRateMeter receive_limit_;
  NetRateMeter send_limit_;
  NetStatistics statistics_;
};

}  // namespace vireo::dev
