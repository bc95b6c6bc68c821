// What every virtio transport means by its registers: feature negotiation, the status machine,
// queue registers, configuration space, starting and stopping the device (virtio 1.2: 2.1, 2.2,
// 2.5, 3.1). A transport decodes its own layout into these calls and supplies TransportOps.
//
// Threads: the register functions may be called by any vCPU, concurrently. One mutex, held for
// register updates only, guards the registers. What starts, stops or resets the device runs on the
// device's loop while the writing vCPU waits for it; loops never wait for vCPUs, so that can not
// deadlock. start(), stop(), reset(), close() and state() are the machine's, on the loop, while no
// vCPU runs.
// Whatever a driver writes, nothing throws: nonsense is ignored, and what can not go on sets
// DEVICE_NEEDS_RESET.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "devices/virtio/device.h"
#include "devices/virtio/queue.h"
#include "vmm/base/fd.h"
#include "vmm/base/state.h"
#include "vmm/device.h"

namespace vireo::dev {

// Tells the driver; loop thread.
using Interrupt = std::function<void()>;

// All that transports differ in. Thread: the loop.
class TransportOps {
 public:
  virtual Interrupt queue_interrupt(uint16_t index) = 0;  // used buffers on this queue
  virtual void config_interrupt() = 0;
  virtual void reset_interrupts() = 0;  // to the power-on state
  virtual void raise_pending() = 0;     // once more what the driver has not acknowledged
  virtual std::optional<DoorbellAddress> doorbell(uint16_t index) const = 0;
  // What the registers read as has changed by itself, not because one was written.
  virtual void registers_changed() {}

 protected:
  ~TransportOps() = default;
};

struct TransportState {
  struct QueueRegisters {
    uint16_t size = 0;
    bool ready = false;
    uint64_t descriptors = 0;
    uint64_t driver_area = 0;
    uint64_t device_area = 0;
    QueueState progress{};
    static void fields(auto& self, auto& archive) {
      archive("size", self.size)("ready", self.ready)("descriptors", self.descriptors)(
          "driver_area", self.driver_area)("device_area", self.device_area)("progress",
                                                                            self.progress);
    }
    bool operator==(const QueueRegisters&) const = default;
  };

  uint8_t status = 0;
  uint32_t device_features_page = 0;
  uint32_t driver_features_page = 0;
  uint64_t driver_features = 0;
  uint32_t queue_select = 0;
  uint32_t config_generation = 0;
  std::vector<QueueRegisters> queues{};  // empty stands for power-on
  static void fields(auto& self, auto& archive) {
    archive("status", self.status)("device_features_page", self.device_features_page)(
        "driver_features_page", self.driver_features_page)("driver_features", self.driver_features)(
        "queue_select", self.queue_select)("config_generation", self.config_generation)(
        "queues", self.queues);
  }
  bool operator==(const TransportState&) const = default;
};

class TransportCore {
 public:
  using State = TransportState;
  enum class Area : uint8_t { descriptors, driver, device };

  // Throws StateError when the state is not one of this device.
  TransportCore(std::string name, const DeviceEnv& env, VirtioDevice& device, TransportOps& ops,
                State state);
  TransportCore(const TransportCore&) = delete;
  TransportCore& operator=(const TransportCore&) = delete;
  ~TransportCore();

  const std::string& name() const noexcept { return name_; }

  // Registers. Selected queues that do not exist read as size 0 and ignore writes.
  uint16_t device_type() const noexcept { return device_.info().type; }
  void select_device_features(uint32_t page);
  uint32_t device_features() const;
  void select_driver_features(uint32_t page);
  void write_driver_features(uint32_t bits);
  uint8_t status() const;
  void write_status(uint8_t status);
  void select_queue(uint32_t index);
  uint16_t queue_max_size() const;
  void set_queue_size(uint32_t size);
  void set_queue_address(Area area, bool high_half, uint32_t bits);
  bool queue_ready() const;
  void set_queue_ready(bool ready);
  void notify_queue(uint32_t index) const;
  uint32_t config_generation() const;
  // Bytes beyond the configuration space stay as they are, and are not written.
  void read_config(uint64_t offset, std::span<std::byte> out) const;
  void write_config(uint64_t offset, std::span<const std::byte> in);

  // The machine's.
  void start();
  Task<void> stop();
  void reset();
  State state() const;

 private:
  struct Kick {
    UniqueFd event;
    Doorbell doorbell;
  };

  State power_on() const;
  void check_state() const;
  TransportState::QueueRegisters* selected();
  const TransportState::QueueRegisters* selected() const;
  uint16_t queue_count() const noexcept { return static_cast<uint16_t>(kicks_.size()); }
  bool configurable() const noexcept;
  bool features_acceptable() const noexcept;
  bool accept_status(uint8_t status);
  void kick(uint16_t index) const noexcept;
  void attach_doorbell(uint16_t index);
  using NewQueues = std::vector<std::pair<uint16_t, std::unique_ptr<Queue>>>;
  NewQueues make_queues(const State& now);
  void start_queues();
  std::unique_ptr<Queue> make_queue(uint16_t index, const TransportState::QueueRegisters& registers,
                                    uint64_t features);
  Task<void> stop_queue(uint16_t index);
  Task<void> stop_queues();
  Task<void> stop_and_reset();
  void publish_config(bool interrupt);
  void needs_reset(std::string_view why);
  void noise(std::string_view text) const { log_.guest_noise(name_, text); }

  const std::string name_;
  const GuestMemory& memory_;
  EventLoop& loop_;
  Doorbells& doorbells_;
  const Logger log_;
  VirtioDevice& device_;
  TransportOps& ops_;
  const uint64_t features_;  // all that are offered
  std::vector<Kick> kicks_;  // one per queue, for the device's life

  // One vCPU at a time starts, stops, resets or reconfigures the device; taken before mutex_, and
  // never on the loop.
  std::mutex transition_;
  mutable std::mutex mutex_;
  State state_;                    // guarded by mutex_
  std::vector<std::byte> config_;  // guarded by mutex_
};

}  // namespace vireo::dev
