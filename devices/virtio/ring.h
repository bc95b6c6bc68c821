// The three areas of a split virtqueue in guest RAM (virtio 1.2, 2.7), with the memory ordering
// that sharing them with running guest CPUs takes.
//
// Thread: the loop of the queue's device; the guest writes its parts at any time. Does not own the
// memory. All indices are taken modulo the size, so no value of the guest's leads outside.
//
// Ordering: what the guest publishes is read with acquire and what it is told with release; where
// both sides store one word and then load the other's (2.7.7.1, 2.7.10), store and load here are
// sequentially consistent, which on x86 makes the store a full barrier.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "devices/virtio/virtio_wire.h"
#include "vmm/memory/guest_memory.h"

namespace vireo::dev {

// Where the driver put a queue: guest-physical addresses.
struct QueueLayout {
  uint16_t size = 0;
  uint64_t descriptors = 0;
  uint64_t available = 0;
  uint64_t used = 0;
};

// A queue size that a split queue may have.
constexpr bool is_queue_size(uint32_t size) noexcept {
  return size != 0 && size <= kMaxQueueSize && (size & (size - 1)) == 0;
}

class SplitRing {
 public:
  // Nothing unless the size is a power of two and each area is aligned and all of it RAM.
  static std::optional<SplitRing> map(const GuestMemory& memory, const QueueLayout& layout);

  uint16_t size() const noexcept { return size_; }
  std::span<const std::byte> descriptors() const noexcept { return descriptors_; }
  std::span<const std::byte> available_area() const noexcept { return available_; }
  std::span<const std::byte> used_area() const noexcept { return used_; }

  // The driver's side.
  uint16_t available_index() const noexcept;
  uint16_t available(uint16_t position) const noexcept;
  bool wants_no_interrupt() const noexcept;
  uint16_t used_event() const noexcept;

  // The device's side.
  void put_used(uint16_t position, UsedElement element) noexcept;
  void publish_used(uint16_t index) noexcept;
  uint16_t used_index() const noexcept;  // as it was published last, by whoever it was
  void set_no_notify(bool suppress) noexcept;
  void set_available_event(uint16_t index) noexcept;

 private:
  SplitRing() = default;
  uint16_t slot(uint16_t position) const noexcept {
    return static_cast<uint16_t>(position & (size_ - 1U));
  }

  uint16_t size_ = 0;
  std::span<std::byte> descriptors_;
  std::span<std::byte> available_;
  std::span<std::byte> used_;
};

}  // namespace vireo::dev
