// The virtio-mmio transport, version 2 (virtio 1.2, 4.2): a page of registers in front of
// TransportCore.
//
// The guest reads the page as memory (vmm/memory/register_pages.h): it always holds what the
// registers read as. An interrupt takes the driver one read of InterruptStatus and one write of
// InterruptACK; a doorbell that nobody listens to takes the write, so that neither is an exit to
// this process. So the bit of used buffers, once set, stays until a reset or until it is
// acknowledged together with another: interrupts are edges and drivers look at all queues then, so
// one time too many is no harm.
//
// Thread: io_read()/io_write() on any vCPU; what Device says of the rest.
// Owns the device, its registers, interrupt line and doorbells. Registers are written as aligned
// 32-bit words (4.2.2.2), the configuration space in any width; other writes are ignored.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "devices/virtio/device.h"
#include "devices/virtio/mmio_wire.h"
#include "devices/virtio/transport.h"
#include "vmm/bus.h"
#include "vmm/device.h"

namespace vireo::dev {

struct MmioState {
  static constexpr StateTag kTag{"virtio-mmio", 1};
  TransportState core{};
  uint32_t interrupt_status = 0;
  static void fields(auto& self, auto& archive) {
    archive("core", self.core)("interrupt_status", self.interrupt_status);
  }
  bool operator==(const MmioState&) const = default;
};

class MmioTransport final : public Device, private IoHandler, private TransportOps {
 public:
  using State = MmioState;

  // Throws ConfigError when addresses or interrupts are used up, StateError on a foreign state.
  MmioTransport(std::string name, DeviceEnv& env, std::unique_ptr<VirtioDevice> device,
                State state = {});
  ~MmioTransport() override;

  VirtioDevice& device() noexcept { return *device_; }

  const std::string& name() const noexcept override { return core_.name(); }
  void start() override { core_.start(); }
  Task<void> stop() override { return core_.stop(); }
  void reset() override { core_.reset(); }
  void save(StateWriter& writer) const override;
  Task<void> close() override { return device_->close(); }

 private:
  // IoHandler
  void io_read(uint64_t offset, std::span<std::byte> out) override;
  void io_write(uint64_t offset, std::span<const std::byte> in) override;
  void write_register(uint64_t offset, uint32_t value);
  bool write_queue_register(uint64_t offset, uint32_t value);

  // TransportOps
  Interrupt queue_interrupt(uint16_t index) override;
  void config_interrupt() override;
  void reset_interrupts() override;
  void raise_pending() override;
  std::optional<DoorbellAddress> doorbell(uint16_t index) const override;
  void registers_changed() override;

  void interrupt(uint32_t reason);
  std::atomic_ref<uint32_t> word(uint64_t offset) const;
  std::atomic_ref<uint32_t> interrupt_status() const { return word(mmio::kInterruptStatus); }
  void publish_registers();
  void publish_config();
  void attach_acknowledge();

  const RegisterPages::Page page_;
  const IrqAllocator::Claim irq_;
  Doorbells& doorbells_;
  Logger log_;
  std::mutex publishing_;  // taken before TransportCore's
  std::unique_ptr<VirtioDevice> device_;
  TransportCore core_;
  UniqueFd acknowledged_ = make_eventfd();  // is never read
  Doorbell acknowledge_;
  Bus::Region region_;
};

}  // namespace vireo::dev
