// virtio-input (virtio 1.2, 5.8): what its keyboards and tablets have in common. What a device is
// stands in its configuration space; what happens to it goes to the driver in reports, sequences of
// events that end with SYN_REPORT.
//
// Thread: its loop, for all of it.
// Reports wait, within bounds, while the driver gives no buffers; none is ever cut in two. What the
// driver says in turn (which lights are on) is taken and forgotten: nobody sees them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/virtio/device.h"
#include "devices/virtio/input_wire.h"
#include "vmm/base/async_sync.h"

namespace vireo::dev {

struct InputEvent {
  uint16_t type = 0, code = 0;
  int32_t value = 0;
  static void fields(auto& self, auto& archive) {
    archive("type", self.type)("code", self.code)("value", self.value);
  }
  bool operator==(const InputEvent&) const = default;
};

struct InputState {
  static constexpr StateTag kTag{"virtio-input", 1};
  uint8_t select = 0, subselect = 0;
  std::vector<uint16_t> down{};      // keys that are pressed as far as the driver knows, or will
  std::vector<InputEvent> events{};  // on their way to the driver
  static void fields(auto& self, auto& archive) {
    archive("select", self.select)("subselect", self.subselect)("down", self.down)("events",
                                                                                   self.events);
  }
  bool operator==(const InputState&) const = default;
};

// What a device can tell.
struct InputTraits {
  std::string name{};
  uint16_t product = 0;
  std::map<uint16_t, std::vector<uint16_t>> codes{};  // by event type
  std::map<uint16_t, uint32_t> axes{};                // absolute ones, from 0 to this
};

class InputDevice : public VirtioDevice {
 public:
  using State = InputState;
  static constexpr size_t kMaxEvents = 1024;

  const VirtioInfo& info() const noexcept override { return info_; }
  std::vector<std::byte> config() const override;
  void config_written(uint32_t offset, std::span<const std::byte> bytes) override;
  void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) override;
  Task<std::optional<QueueState>> stop_queue(uint16_t index) override;
  void reset() override { state_ = {}; }
  void save(StateWriter& writer) const override;

 protected:
  // Throws StateError on a state that no such device can have.
  InputDevice(std::string name, VirtioEnv env, InputTraits traits, State state);

  // A driver is at work; not while the machine is paused.
  bool driver_is_up() const noexcept { return driver_is_up_; }
  bool is_down(uint16_t key) const noexcept;
  // Presses or releases a key in the coming report.
  InputEvent change(uint16_t key, bool pressed);
  // Beside what the releases of all that is down will take.
  bool has_room_for(size_t events) const noexcept;
  // SYN_REPORT goes without saying. A report of positions alone takes the place of one that waits.
  void report(std::vector<InputEvent> events);
  const State& state() const noexcept { return state_; }

 private:
  std::vector<std::byte> answer() const;
  Task<void> deliver_reports();
  void deliver(Queue& queue);
  Task<void> take_status();

  const std::string name_;
  const Logger log_;
  const VirtioInfo info_;
  const InputTraits traits_;
  State state_;
  QueueWork reports_;
  QueueWork status_;
  Event has_events_;  // or the queue is to stop
  bool driver_is_up_ = false;
};

}  // namespace vireo::dev
