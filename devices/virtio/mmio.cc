#include "devices/virtio/mmio.h"

#include <cstring>
#include <utility>

#include "devices/virtio/mmio_wire.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

using Area = TransportCore::Area;

MmioTransport::MmioTransport(std::string name, DeviceEnv& env, std::unique_ptr<VirtioDevice> device,
                             State state)
    : address_(env.mmio_window.claim(layout::kVirtioMmioStride, name)),
      irq_(env.irqs.claim_free(name)),
      interrupt_status_(state.interrupt_status),
      device_(std::move(device)),
      core_(std::move(name), env, *device_, *this, std::move(state.core)),
      region_(env.mmio.map({address_, layout::kVirtioMmioStride}, *this, core_.name())) {
  env.acpi.push_back(
      {AcpiDevice::Kind::virtio_mmio, address_, layout::kVirtioMmioStride, irq_.gsi});
}

MmioTransport::~MmioTransport() = default;

void MmioTransport::save(StateWriter& writer) const {
  writer.put(name(), State{core_.state(), interrupt_status_});
  device_->save(writer);
}

void MmioTransport::io_read(uint64_t offset, std::span<std::byte> out) {
  if (offset >= mmio::kConfig) return core_.read_config(offset - mmio::kConfig, out);
  if (out.size() != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) return;
  const uint32_t value = read_register(offset);
  std::memcpy(out.data(), &value, sizeof(value));
}

uint32_t MmioTransport::read_register(uint64_t offset) const {
  switch (offset) {
    case mmio::kInterruptStatus:
      return interrupt_status_;
    case mmio::kMagic:
      return mmio::kMagicValue;
    case mmio::kVersion:
      return mmio::kVersionValue;
    case mmio::kDeviceId:
      return core_.device_type();
    case mmio::kVendorId:
      return mmio::kVendorValue;
    case mmio::kDeviceFeatures:
      return core_.device_features();
    case mmio::kQueueSizeMax:
      return core_.queue_max_size();
    case mmio::kQueueReady:
      return core_.queue_ready() ? 1 : 0;
    case mmio::kStatus:
      return core_.status();
    case mmio::kConfigGeneration:
      return core_.config_generation();
    default:  // among them the shared memory registers: a length of all ones means "no region"
      return 0xffffffff;
  }
}

void MmioTransport::io_write(uint64_t offset, std::span<const std::byte> in) {
  if (offset >= mmio::kConfig) return core_.write_config(offset - mmio::kConfig, in);
  if (in.size() != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) return;
  uint32_t value;
  std::memcpy(&value, in.data(), sizeof(value));
  if (!write_queue_register(offset, value)) write_register(offset, value);
}

void MmioTransport::write_register(uint64_t offset, uint32_t value) {
  switch (offset) {
    case mmio::kInterruptAck:
      interrupt_status_ &= ~value;
      return;
    case mmio::kQueueNotify:  // where no doorbell catches it
      return core_.notify_queue(value);
    case mmio::kDeviceFeaturesSel:
      return core_.select_device_features(value);
    case mmio::kDriverFeatures:
      return core_.write_driver_features(value);
    case mmio::kDriverFeaturesSel:
      return core_.select_driver_features(value);
    case mmio::kStatus:
      return core_.write_status(static_cast<uint8_t>(value));
    default:
      return;
  }
}

bool MmioTransport::write_queue_register(uint64_t offset, uint32_t value) {
  switch (offset) {
    case mmio::kQueueSel:
      core_.select_queue(value);
      return true;
    case mmio::kQueueSize:
      core_.set_queue_size(value);
      return true;
    case mmio::kQueueReady:
      core_.set_queue_ready(value == 1);
      return true;
    case mmio::kQueueDescriptorsLow:
    case mmio::kQueueDescriptorsHigh:
      core_.set_queue_address(Area::descriptors, offset == mmio::kQueueDescriptorsHigh, value);
      return true;
    case mmio::kQueueDriverLow:
    case mmio::kQueueDriverHigh:
      core_.set_queue_address(Area::driver, offset == mmio::kQueueDriverHigh, value);
      return true;
    case mmio::kQueueDeviceLow:
    case mmio::kQueueDeviceHigh:
      core_.set_queue_address(Area::device, offset == mmio::kQueueDeviceHigh, value);
      return true;
    default:
      return false;
  }
}

Interrupt MmioTransport::queue_interrupt(uint16_t /*index*/) {
  return [this] { interrupt(mmio::kInterruptUsed); };
}

void MmioTransport::config_interrupt() {
  interrupt(mmio::kInterruptConfig);
}

void MmioTransport::interrupt(uint32_t reason) {
  interrupt_status_ |= reason;
  irq_.line.raise();
}

void MmioTransport::reset_interrupts() {
  interrupt_status_ = 0;
}

void MmioTransport::raise_pending() {
  if (interrupt_status_ != 0) irq_.line.raise();
}

std::optional<DoorbellAddress> MmioTransport::doorbell(uint16_t index) const {
  return DoorbellAddress{address_ + mmio::kQueueNotify, index};
}

}  // namespace vireo::dev
