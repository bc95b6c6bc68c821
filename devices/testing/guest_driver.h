// The guest's side of virtio for unit tests: a driver that does the status dance over the real
// registers of a virtio-mmio device and builds rings in guest memory, byte by byte as the
// specification has them, so that it can also build wrong ones.
//
// Thread: the test's, which also steps the loop.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "devices/testing/fake_machine.h"
#include "devices/virtio/mmio_wire.h"
#include "devices/virtio/ring.h"
#include "devices/virtio/virtio_wire.h"

namespace vireo::dev {

// Hands out guest memory, upwards.
class GuestHeap {
 public:
  explicit GuestHeap(uint64_t start) noexcept : next_(start) {}
  uint64_t allocate(uint64_t length, uint64_t alignment = 16) noexcept {
    const uint64_t at = (next_ + alignment - 1) / alignment * alignment;
    next_ = at + length;
    return at;
  }

 private:
  uint64_t next_;
};

struct GuestBuffer {
  uint64_t address = 0;
  uint32_t length = 0;
  bool writable = false;
};

// A split ring from the driver's end.
class GuestQueue {
 public:
  GuestQueue(const GuestMemory& memory, GuestHeap& heap, uint16_t size)
      : memory_(memory),
        heap_(heap),
        layout_{size, heap.allocate(16ULL * size), heap.allocate(6 + 2ULL * size),
                heap.allocate(6 + 8ULL * size)} {}

  const QueueLayout& layout() const noexcept { return layout_; }
  uint16_t size() const noexcept { return layout_.size; }

  void set_descriptor(uint16_t index, uint64_t address, uint32_t length, uint16_t flags,
                      uint16_t next = 0) {
    set_entry(layout_.descriptors, index, {address, length, flags, next});
  }
  void set_entry(uint64_t table, uint16_t index, const Descriptor& descriptor) {
    put(table + 16ULL * index, descriptor);
  }
  void make_available(uint16_t head) {
    put(layout_.available + 4 + 2ULL * (available_ % size()), le16(head));
    set_available_index(++available_);
  }
  void set_available_index(uint16_t index) { store(layout_.available + 2, index); }
  void set_no_interrupt(bool off) {
    store(layout_.available, off ? kAvailNoInterrupt : uint16_t{0});
  }
  void set_used_event(uint16_t index) { store(layout_.available + 4 + 2ULL * size(), index); }

  uint16_t used_flags() const { return load(layout_.used); }
  uint16_t used_index() const { return load(layout_.used + 2); }
  uint16_t available_event() const { return load(layout_.used + 4 + 8ULL * size()); }
  UsedElement used_entry(uint16_t position) const {
    return get<UsedElement>(layout_.used + 4 + 8ULL * (position % size()));
  }
  // The next request that came back.
  std::optional<UsedElement> take_used() {
    if (taken_ == used_index()) return std::nullopt;
    return used_entry(taken_++);
  }

  // Makes the buffers one chain, in free descriptors from `head` on, and available.
  uint16_t submit(const std::vector<GuestBuffer>& buffers) {
    const uint16_t head = next_descriptor_;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const auto index = static_cast<uint16_t>((head + i) % size());
      const bool last = i + 1 == buffers.size();
      set_descriptor(index, buffers[i].address, buffers[i].length, flags_of(buffers[i], last),
                     static_cast<uint16_t>((index + 1) % size()));
    }
    next_descriptor_ = static_cast<uint16_t>((head + buffers.size()) % size());
    make_available(head);
    return head;
  }
  // The same through an indirect table.
  uint16_t submit_indirect(const std::vector<GuestBuffer>& buffers) {
    const uint64_t table = heap_.allocate(16 * buffers.size());
    for (size_t i = 0; i < buffers.size(); ++i)
      set_entry(table, static_cast<uint16_t>(i),
                {buffers[i].address, buffers[i].length,
                 flags_of(buffers[i], i + 1 == buffers.size()), static_cast<uint16_t>(i + 1)});
    const uint16_t head = next_descriptor_;
    next_descriptor_ = static_cast<uint16_t>((head + 1) % size());
    set_descriptor(head, table, static_cast<uint32_t>(16 * buffers.size()), kDescriptorIndirect);
    make_available(head);
    return head;
  }

  GuestBuffer readable(std::span<const std::byte> bytes) {
    const GuestBuffer buffer{heap_.allocate(bytes.size()), static_cast<uint32_t>(bytes.size())};
    VMM_CHECK(memory_.write(buffer.address, bytes), "test buffers lie in RAM");
    return buffer;
  }
  GuestBuffer readable(std::string_view text) { return readable(bytes_of_text(text)); }
  GuestBuffer writable(uint32_t length) { return {heap_.allocate(length), length, true}; }

  std::vector<std::byte> contents(const GuestBuffer& buffer) const {
    std::vector<std::byte> bytes(buffer.length);
    VMM_CHECK(memory_.read(buffer.address, bytes), "test buffers lie in RAM");
    return bytes;
  }

 private:
  static uint16_t flags_of(const GuestBuffer& buffer, bool last) noexcept {
    return static_cast<uint16_t>((buffer.writable ? kDescriptorWrite : 0) |
                                 (last ? 0 : kDescriptorNext));
  }
  template <Wire T>
  void put(uint64_t address, const T& value) {
    VMM_CHECK(memory_.write(address, value), "test rings lie in RAM");
  }
  template <Wire T>
  T get(uint64_t address) const {
    const std::optional<T> value = memory_.read<T>(address);
    VMM_CHECK(value, "test rings lie in RAM");
    return *value;
  }

  // What a device on another thread reads and writes meanwhile; what it is about is ordered by it.
  std::atomic_ref<uint16_t> word(uint64_t address) const {
    const auto bytes = memory_.range(address, sizeof(uint16_t));
    VMM_CHECK(bytes, "test rings lie in RAM");
    return std::atomic_ref(*reinterpret_cast<uint16_t*>(bytes->data()));
  }
  void store(uint64_t address, uint16_t value) const {
    word(address).store(value, std::memory_order_release);
  }
  uint16_t load(uint64_t address) const { return word(address).load(std::memory_order_acquire); }

  const GuestMemory& memory_;
  GuestHeap& heap_;
  QueueLayout layout_;
  uint16_t available_ = 0;
  uint16_t taken_ = 0;
  uint16_t next_descriptor_ = 0;
};

class GuestDriver {
 public:
  // The device at the n-th place of the virtio window.
  explicit GuestDriver(FakeMachine& machine, size_t place = 0)
      : machine_(machine), base_(layout::kVirtioMmio + place * layout::kVirtioMmioStride) {}

  uint32_t read(uint64_t offset) const {
    uint32_t value = 0;
    machine_.mmio.read(base_ + offset, writable_bytes_of(value));
    return value;
  }
  // Writes that start, stop or configure the device wait for its loop: they come from a vCPU.
  void write(uint64_t offset, uint32_t value) {
    const auto access = [&] { machine_.mmio.write(base_ + offset, bytes_of(value)); };
    const auto bits = static_cast<uint8_t>(value);
    const bool turns = offset == mmio::kStatus && (bits == 0 || (bits & kStatusDriverOk) != 0);
    const bool waits =
        turns || (offset == mmio::kQueueReady && value != 1) || offset >= mmio::kConfig;
    if (waits)
      machine_.on_vcpu(access);
    else
      access();
  }
  template <Wire T>
  T read_config(uint64_t offset) const {
    T value{};
    machine_.mmio.read(base_ + mmio::kConfig + offset, writable_bytes_of(value));
    return value;
  }
  template <Wire T>
  void write_config(uint64_t offset, const T& value) {
    machine_.on_vcpu([&] { machine_.mmio.write(base_ + mmio::kConfig + offset, bytes_of(value)); });
  }

  uint64_t device_features() {
    write(mmio::kDeviceFeaturesSel, 0);
    const uint64_t low = read(mmio::kDeviceFeatures);
    write(mmio::kDeviceFeaturesSel, 1);
    return low | uint64_t{read(mmio::kDeviceFeatures)} << 32;
  }
  void write_features(uint64_t features) {
    write(mmio::kDriverFeaturesSel, 0);
    write(mmio::kDriverFeatures, static_cast<uint32_t>(features));
    write(mmio::kDriverFeaturesSel, 1);
    write(mmio::kDriverFeatures, static_cast<uint32_t>(features >> 32));
  }
  uint8_t status() const { return static_cast<uint8_t>(read(mmio::kStatus)); }
  void add_status(uint8_t bits) { write(mmio::kStatus, uint32_t{status()} | bits); }

  // 3.1.1 up to FEATURES_OK; whether the device agreed.
  bool negotiate(uint64_t features) {
    write(mmio::kStatus, 0);
    add_status(kStatusAcknowledge);
    add_status(kStatusDriver);
    write_features(features);
    add_status(kStatusFeaturesOk);
    return (status() & kStatusFeaturesOk) != 0;
  }
  void place_queue(uint16_t index, const QueueLayout& at) {
    write(mmio::kQueueSel, index);
    write(mmio::kQueueSize, at.size);
    write_address(mmio::kQueueDescriptorsLow, at.descriptors);
    write_address(mmio::kQueueDriverLow, at.available);
    write_address(mmio::kQueueDeviceLow, at.used);
    write(mmio::kQueueReady, 1);
  }
  GuestQueue& add_queue(uint16_t index, uint16_t size) {
    auto& queue = queues_[index];
    queue = std::make_unique<GuestQueue>(machine_.memory, heap_, size);
    place_queue(index, queue->layout());
    return *queue;
  }
  GuestQueue& queue(uint16_t index) { return *queues_.at(index); }
  void driver_ok() {
    add_status(kStatusDriverOk);
    machine_.settle();
  }
  // All of it: negotiates, makes all queues of the given size, and starts.
  void start(uint64_t features, std::vector<uint16_t> queue_sizes) {
    VMM_CHECK(negotiate(features | kFeatureVersion1), "the device agrees on the features");
    for (uint16_t i = 0; i < queue_sizes.size(); ++i) add_queue(i, queue_sizes[i]);
    driver_ok();
  }
  void reset() { write(mmio::kStatus, 0); }

  void kick(uint16_t index) {
    VMM_CHECK(machine_.doorbells.ring(base_ + mmio::kQueueNotify, index), "a doorbell is there");
    machine_.settle();
  }
  // Interrupts since the last look, and their reasons acknowledged.
  uint64_t take_interrupts() { return machine_.irq_lines.take(gsi()); }
  uint32_t take_interrupt_status() {
    const uint32_t reasons = read(mmio::kInterruptStatus);
    write(mmio::kInterruptAck, reasons);
    return reasons;
  }
  bool needs_reset() const { return (status() & kStatusNeedsReset) != 0; }

  GuestHeap& heap() noexcept { return heap_; }
  uint64_t base() const noexcept { return base_; }

 private:
  void write_address(uint64_t low, uint64_t address) {
    write(low, static_cast<uint32_t>(address));
    write(low + 4, static_cast<uint32_t>(address >> 32));
  }
  uint32_t gsi() const {
    for (const AcpiDevice& device : machine_.platform.acpi.devices())
      if (device.address == base_) return device.gsi;
    VMM_CHECK(false, "the device told its interrupt");
    return 0;
  }

  FakeMachine& machine_;
  uint64_t base_;
  GuestHeap heap_{0x10000};
  std::map<uint16_t, std::unique_ptr<GuestQueue>> queues_;
};

}  // namespace vireo::dev
