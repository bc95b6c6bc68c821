#include "devices/virtio/mmio.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

using Area = TransportCore::Area;

MmioTransport::MmioTransport(std::string name, DeviceEnv& env, std::unique_ptr<VirtioDevice> device,
                             State state)
    : page_(env.platform.register_pages.claim(name)),
      irq_(env.platform.irqs.claim_free(name)),
      doorbells_(env.platform.doorbells),
      log_(env.platform.log),
      device_(std::move(device)),
      core_(std::move(name), env, *device_, *this, std::move(state.core)),
      region_(
          env.platform.mmio.map({page_.address, layout::kVirtioMmioStride}, *this, core_.name())) {
  word(mmio::kMagic) = mmio::kMagicValue;
  word(mmio::kVersion) = mmio::kVersionValue;
  word(mmio::kDeviceId) = core_.device_type();
  word(mmio::kVendorId) = mmio::kVendorValue;
  interrupt_status() = state.interrupt_status;
  registers_changed();
  const auto place = env.platform.acpi.next("V", 3);
  constexpr uint32_t kLength = layout::kVirtioMmioStride;
  env.platform.acpi.add({.name = place.name,
                         .uid = place.uid,
                         .hid = kVirtioMmioHid,
                         .address = page_.address,
                         .length = kLength,
                         .gsi = irq_.gsi,
                         .resources = {aml::memory32(static_cast<uint32_t>(page_.address), kLength),
                                       aml::interrupt(irq_.gsi)}});
}

MmioTransport::~MmioTransport() = default;

void MmioTransport::save(StateWriter& writer) const {
  writer.put(name(), State{core_.state(), interrupt_status()});
  device_->save(writer);
}

std::atomic_ref<uint32_t> MmioTransport::word(uint64_t offset) const {
  return std::atomic_ref(*reinterpret_cast<uint32_t*>(page_.bytes.data() + offset));
}

// What follows from what the driver writes. Registers that are only written, and those of shared
// memory regions, of which there are none, stay all ones.
void MmioTransport::publish_registers() {
  const std::lock_guard lock(publishing_);
  word(mmio::kDeviceFeatures) = core_.device_features();
  word(mmio::kQueueSizeMax) = core_.queue_max_size();
  word(mmio::kQueueReady) = core_.queue_ready() ? 1 : 0;
  word(mmio::kStatus) = core_.status();
}

// A driver reads the generation before and after the configuration, and all again if it has changed
// (2.5.1). While the words change it is one that comes neither before nor after.
void MmioTransport::publish_config() {
  constexpr uint32_t kChanging = 0x80000000;
  std::array<uint32_t, (layout::kVirtioMmioStride - mmio::kConfig) / sizeof(uint32_t)> config;
  config.fill(0xffffffff);
  const std::lock_guard lock(publishing_);
  const uint32_t generation = core_.config_generation();
  core_.read_config(0, std::as_writable_bytes(std::span(config)));
  word(mmio::kConfigGeneration) = generation ^ kChanging;
  for (size_t i = 0; i < config.size(); ++i) word(mmio::kConfig + i * sizeof(uint32_t)) = config[i];
  word(mmio::kConfigGeneration) = generation;
}

void MmioTransport::registers_changed() {
  publish_registers();
  publish_config();
}

// Where the guest cannot read the page itself.
void MmioTransport::io_read(uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const uint64_t within = offset % sizeof(uint32_t);
    const uint32_t value = word(offset - within);
    const auto bytes = bytes_of(value).subspan(within);
    const size_t length = std::min(bytes.size(), out.size());
    std::copy_n(bytes.begin(), length, out.begin());
    out = out.subspan(length);
    offset += length;
  }
}

void MmioTransport::io_write(uint64_t offset, std::span<const std::byte> in) {
  if (offset >= mmio::kConfig) return core_.write_config(offset - mmio::kConfig, in);
  if (in.size() != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) return;
  uint32_t value;
  std::memcpy(&value, in.data(), sizeof(value));
  // The two that no doorbell may have caught.
  if (offset == mmio::kQueueNotify) return core_.notify_queue(value);
  if (offset == mmio::kInterruptAck) return static_cast<void>(interrupt_status() &= ~value);
  if (!write_queue_register(offset, value)) write_register(offset, value);
  publish_registers();
}

void MmioTransport::write_register(uint64_t offset, uint32_t value) {
  switch (offset) {
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
  attach_acknowledge();
  return [this] { interrupt(mmio::kInterruptUsed); };
}

// Only when a driver is there, and only if it can be, as of the queues' doorbells.
void MmioTransport::attach_acknowledge() {
  if (acknowledge_) return;
  try {
    acknowledge_ = doorbells_.attach(
        {.address = page_.address + mmio::kInterruptAck, .value = mmio::kInterruptUsed},
        acknowledged_.get());
  } catch (const std::system_error& error) {
    log_.debug(name(),
               fmt::format("interrupts are acknowledged through the register: {}", error.what()));
  }
}

void MmioTransport::config_interrupt() {
  interrupt(mmio::kInterruptConfig);
}

void MmioTransport::interrupt(uint32_t reason) {
  interrupt_status() |= reason;
  irq_.line.raise();
}

void MmioTransport::reset_interrupts() {
  interrupt_status() = 0;
}

void MmioTransport::raise_pending() {
  if (interrupt_status() != 0) irq_.line.raise();
}

std::optional<DoorbellAddress> MmioTransport::doorbell(uint16_t index) const {
  return DoorbellAddress{.address = page_.address + mmio::kQueueNotify, .value = index};
}

}  // namespace vireo::dev
