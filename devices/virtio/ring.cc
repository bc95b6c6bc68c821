#include "devices/virtio/ring.h"

#include <atomic>
#include <bit>

namespace vireo::dev {

namespace {

static_assert(std::endian::native == std::endian::little, "ring words are read as they lie");

// Offsets of struct virtq_avail and struct virtq_used; the event word follows the ring.
constexpr size_t kFlags = 0;
constexpr size_t kIndex = 2;
constexpr size_t kRing = 4;

// map() has checked the alignment of each area, so every word in it is aligned too.
template <class T>
std::atomic_ref<T> word(std::span<std::byte> area, size_t offset) noexcept {
  return std::atomic_ref<T>(*reinterpret_cast<T*>(area.data() + offset));
}

std::optional<std::span<std::byte>> area(const GuestMemory& memory, uint64_t address,
                                         uint64_t length, uint64_t alignment) {
  if (address % alignment != 0) return std::nullopt;
  return memory.range(address, length);
}

}  // namespace

std::optional<SplitRing> SplitRing::map(const GuestMemory& memory, const QueueLayout& layout) {
  if (!is_queue_size(layout.size)) return std::nullopt;
  const uint64_t size = layout.size;
  const auto descriptors = area(memory, layout.descriptors, size * sizeof(Descriptor), 16);
  const auto available = area(memory, layout.available, kRing + 2 * size + 2, 2);
  const auto used = area(memory, layout.used, kRing + sizeof(UsedElement) * size + 2, 4);
  if (!descriptors || !available || !used) return std::nullopt;
  SplitRing ring;
  ring.size_ = layout.size;
  ring.descriptors_ = *descriptors;
  ring.available_ = *available;
  ring.used_ = *used;
  return ring;
}

uint16_t SplitRing::available_index() const noexcept {
  return word<uint16_t>(available_, kIndex).load(std::memory_order_seq_cst);
}

uint16_t SplitRing::available(uint16_t position) const noexcept {
  return word<uint16_t>(available_, kRing + size_t{2} * slot(position))
      .load(std::memory_order_relaxed);
}

bool SplitRing::wants_no_interrupt() const noexcept {
  const uint16_t flags = word<uint16_t>(available_, kFlags).load(std::memory_order_seq_cst);
  return (flags & kAvailNoInterrupt) != 0;
}

uint16_t SplitRing::used_event() const noexcept {
  return word<uint16_t>(available_, kRing + size_t{2} * size_).load(std::memory_order_seq_cst);
}

void SplitRing::put_used(uint16_t position, UsedElement element) noexcept {
  const size_t offset = kRing + sizeof(UsedElement) * slot(position);
  word<uint32_t>(used_, offset).store(element.id, std::memory_order_relaxed);
  word<uint32_t>(used_, offset + 4).store(element.length, std::memory_order_relaxed);
}

void SplitRing::publish_used(uint16_t index) noexcept {
  word<uint16_t>(used_, kIndex).store(index, std::memory_order_seq_cst);
}

uint16_t SplitRing::used_index() const noexcept {
  return word<uint16_t>(used_, kIndex).load(std::memory_order_seq_cst);
}

void SplitRing::set_no_notify(bool suppress) noexcept {
  const uint16_t flags = suppress ? kUsedNoNotify : uint16_t{0};
  word<uint16_t>(used_, kFlags).store(flags, std::memory_order_seq_cst);
}

void SplitRing::set_available_event(uint16_t index) noexcept {
  const size_t offset = kRing + sizeof(UsedElement) * size_;
  word<uint16_t>(used_, offset).store(index, std::memory_order_seq_cst);
}

}  // namespace vireo::dev
