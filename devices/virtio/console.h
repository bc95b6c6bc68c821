// virtio-console (virtio 1.2, 5.3) with one port, over a character backend: hvc0 of a Linux guest,
// or, when the port has a name, a file of the guest's that programs find by it
// (/sys/class/virtio-ports/*/name; /dev/virtio-ports/NAME where udev makes that).
//
// Thread: its loop, for all of it. Owns the backend.
// Both directions are bounded: input stays with the backend while the driver gives no buffers, and
// output stays with the driver while the backend takes none. Nothing is lost over a pause or a
// snapshot: the state has the input that waits, and how much of the driver's next buffer was sent.
// The size of the terminal is not state but the embedder's to tell, also after a restore.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/chardev/backend.h"
#include "devices/virtio/console_control.h"
#include "devices/virtio/console_wire.h"
#include "devices/virtio/device.h"
#include "vmm/base/async_sync.h"

namespace vireo::dev {

struct ConsoleState {
  static constexpr StateTag kTag{"virtio-console", 2};
  std::vector<uint8_t> input{};  // came from the backend, waits for the driver
  uint32_t sent = 0;             // bytes of the driver's next output buffer that are out already
  uint8_t announcements = 0;     // ConsoleControl's that wait for the driver
  static void fields(auto& self, auto& archive) {
    archive("input", self.input)("sent", self.sent)("announcements", self.announcements);
  }
  bool operator==(const ConsoleState&) const = default;
};

// A port that is no terminal.
struct ConsolePort {
  std::string_view name{};
};

class Console final : public VirtioDevice, private CharFrontend {
 public:
  using State = ConsoleState;

  // Throws StateError on a state that no console can have.
  Console(std::string name, VirtioEnv env, std::unique_ptr<CharBackend> backend, State state = {});
  Console(std::string name, VirtioEnv env, std::unique_ptr<CharBackend> backend, ConsolePort port,
          State state = {});
  ~Console() override;

  // The terminal's size in characters; 0 for unknown. Only without a named port.
  void set_size(uint16_t columns, uint16_t rows);

  const VirtioInfo& info() const noexcept override { return info_; }
  std::vector<std::byte> config() const override;
  void machine_started() override;
  void machine_stopped() override;
  void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) override;
  Task<std::optional<QueueState>> stop_queue(uint16_t index) override;
  void reset() override { state_ = {}; }  // what the control queues announce, too
  void save(StateWriter& writer) const override;

 private:
  void receive(std::span<const std::byte> bytes) override;
  void writable() override { can_send_.set(); }

  Task<void> receive_input();
  void deliver(Queue& queue);
  void want_input(bool wanted);
  Task<void> transmit_output();
  Task<bool> send(ReadCursor output);
  Task<bool> send_part(std::vector<std::byte> part);

  const std::string name_;
  EventLoop& loop_;
  const Logger log_;
  const VirtioInfo info_;
  std::unique_ptr<CharBackend> backend_;
  ConsoleConfigSpace config_;
  State state_;
  std::optional<ConsoleControl> control_;  // of a named port
  QueueWork receiver_;
  QueueWork transmitter_;
  Event has_input_;          // or the receive queue is to stop
  Event can_send_;           // or the transmit queue is to stop
  bool wanted_ = false;      // what the backend was last told
  size_t sent_at_once_ = 0;  // bytes since others had their turn on the loop
};

}  // namespace vireo::dev
