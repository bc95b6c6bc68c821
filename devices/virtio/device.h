// What a virtio device is, without a word of the transport that a driver reaches it by.
//
// Thread: constructed on the control thread; everything else on its home loop. A device has the
// constructor D(std::string name, VirtioEnv, Config…, State = {}) (without State when it keeps
// none), and between start_queue() and stop_queue() it owns the queue.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "devices/virtio/queue.h"
#include "devices/virtio/virtio_wire.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"
#include "vmm/base/state.h"
#include "vmm/base/task.h"
#include "vmm/base/worker_pool.h"

namespace vireo::dev {

// What a device gets besides its own backends; all outlive it.
struct VirtioEnv {
  EventLoop& loop;  // the device's home
  WorkerPool& pool;
  Logger log{};
};

struct VirtioInfo {
  uint16_t type = 0;
  uint64_t features = 0;  // the device's own; the transport adds those of ring and transport
  std::vector<uint16_t> queue_sizes{};  // the largest each may have; powers of two, at least one
  // The vCPU that notifies a queue brings that itself, by notified(), when the loop can be
  // borrowed: for devices that answer most requests without waiting for anything.
  bool direct = false;
};

class VirtioDevice {
 public:
  VirtioDevice() = default;
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;
  virtual ~VirtioDevice() = default;

  virtual const VirtioInfo& info() const noexcept = 0;
  // The configuration space as it is now; of one length for the device's life. The transport serves
  // the driver from a copy.
  virtual std::vector<std::byte> config() const { return {}; }
  // The driver wrote here; inside the configuration space. What config() gives afterwards is
  // published without an interrupt.
  virtual void config_written(uint32_t /*offset*/, std::span<const std::byte> /*bytes*/) {}

  // The machine runs; it is paused or has ended (queues are started only in between).
  virtual void machine_started() {}
  virtual void machine_stopped() {}
  // `features` are the negotiated ones.
  virtual void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) = 0;
  // The driver has notified a queue; on a borrowed loop, whether or not the queue is started.
  virtual void notified(uint16_t /*index*/) {}
  // Resolves when the requests under way have gone back and the queue is gone: how far it came, or
  // nothing when it was not started. Idempotent; waits for the host's work under way only.
  virtual Task<std::optional<QueueState>> stop_queue(uint16_t index) = 0;
  // Back to the power-on state; only while no queue is started.
  virtual void reset() {}
  // Beyond the queues; only while no queue is started.
  virtual void save(StateWriter& /*writer*/) const {}
  // The last call: lets go of what needs an orderly end (a disk). No queue is started.
  virtual Task<void> close() { co_return; }

  // The transport's, once, before anything is started.
  void on_config_change(std::function<void()> listener) { config_listener_ = std::move(listener); }

 protected:
  // config() changed by itself: publishes it and tells the driver.
  void config_changed() const {
    if (config_listener_) config_listener_();
  }

 private:
  std::function<void()> config_listener_;
};

// A started queue with the tasks at work on it: what start_queue() and stop_queue() of most devices
// come down to.
class QueueWork {
 public:
  void start(std::unique_ptr<Queue> queue) {
    queue_ = std::move(queue);
    tasks_.emplace([&loop = queue_->loop()](const std::exception_ptr& why) { loop.fail(why); });
  }
  // Only between start() and stop(). What leaves a task is told to the loop.
  void spawn(Task<void> task) { tasks_->spawn(std::move(task)); }
  explicit operator bool() const noexcept { return queue_ != nullptr; }
  Queue& queue() noexcept { return *queue_; }

  Task<std::optional<QueueState>> stop() {
    if (!queue_) co_return std::nullopt;
    queue_->stop();
    co_await tasks_->join();
    queue_->notify();
    const QueueState state = queue_->state();
    queue_.reset();
    co_return state;
  }

 private:
  std::unique_ptr<Queue> queue_;
  std::optional<Scope> tasks_;  // of this queue's life
};

}  // namespace vireo::dev
