#include "vmm/ioapic.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "vmm/base/error.h"

namespace vireo {

namespace {

// Memory-mapped registers (82093AA, 3.1) ...
constexpr uint64_t kSelect = 0x00;
constexpr uint64_t kWindow = 0x10;
constexpr uint64_t kLength = 0x1000;
// ... and those behind the window (3.2).
constexpr uint32_t kId = 0x00;
constexpr uint32_t kVersion = 0x01;
constexpr uint32_t kArbitration = 0x02;
constexpr uint32_t kEntries = 0x10;

constexpr uint32_t kVersionValue = 0x11 | (layout::kGsiCount - 1) << 16;
constexpr uint32_t kIdBits = 0x0f000000;
// Delivery status and remote IRR are the chip's, not the guest's, to write.
constexpr uint64_t kReadOnlyBits = 1 << 12 | 1 << 14;
constexpr uint32_t kExtInt = 7;

MsiMessage message_of(uint64_t entry) {
  const auto destination = static_cast<uint32_t>(entry >> 56);
  const auto logical = static_cast<uint32_t>(entry >> 11 & 1);
  const auto mode_and_vector = static_cast<uint32_t>(entry & 0x7ff);
  return {.address = static_cast<uint32_t>(layout::kLocalApic) | destination << 12 | logical << 2,
          .data = mode_and_vector};
}

bool is_deliverable(uint64_t entry) {
  return (entry & kIoApicMasked) == 0 && (entry >> 8 & 7) != kExtInt;
}

}  // namespace

IoApic::IoApic(Bus& mmio, Deliver deliver, const State& state)
    : state_(state),
      deliver_(std::move(deliver)),
      region_(mmio.map({layout::kIoApic, kLength}, *this, "I/O APIC")) {}

void IoApic::raise(uint32_t input) noexcept {
  VMM_CHECK(input < layout::kGsiCount, "an I/O APIC input exists");
  const std::lock_guard lock(mutex_);
  state_.pending |= 1U << input;
  service(input);
}

void IoApic::reset() {
  const std::lock_guard lock(mutex_);
  state_ = State{};
}

IoApic::State IoApic::save() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void IoApic::service(uint32_t input) {
  const uint32_t bit = 1U << input;
  const uint64_t entry = state_.entries[input];
  if ((state_.pending & bit) == 0 || !is_deliverable(entry)) return;
  state_.pending &= ~bit;
  deliver_(message_of(entry));
}

void IoApic::io_read(uint64_t offset, std::span<std::byte> out) {
  const std::lock_guard lock(mutex_);
  uint32_t value = 0;
  if (offset == kSelect) value = state_.select;
  if (offset == kWindow) value = read_register();
  std::memset(out.data(), 0, out.size());
  std::memcpy(out.data(), &value, std::min(out.size(), sizeof value));
}

void IoApic::io_write(uint64_t offset, std::span<const std::byte> in) {
  uint32_t value = 0;
  std::memcpy(&value, in.data(), std::min(in.size(), sizeof value));
  const std::lock_guard lock(mutex_);
  if (offset == kSelect) state_.select = value & 0xff;
  if (offset == kWindow) write_register(value);
}

uint32_t IoApic::read_register() const noexcept {
  switch (state_.select) {
    case kId:
    case kArbitration:
      return state_.id;
    case kVersion:
      return kVersionValue;
    default:
      break;
  }
  const uint32_t half = state_.select - kEntries;
  if (state_.select < kEntries || half / 2 >= layout::kGsiCount) return 0;
  return static_cast<uint32_t>(state_.entries[half / 2] >> (half % 2 * 32));
}

void IoApic::write_register(uint32_t value) {
  if (state_.select == kId) state_.id = value & kIdBits;
  if (state_.select < kEntries) return;
  if (const uint32_t half = state_.select - kEntries; half / 2 < layout::kGsiCount)
    write_entry(half, value);
}

void IoApic::write_entry(uint32_t half, uint32_t value) {
  uint64_t& entry = state_.entries[half / 2];
  const unsigned shift = half % 2 * 32;
  const uint64_t mask = 0xffffffffULL << shift & ~kReadOnlyBits;
  entry = (entry & ~mask) | (uint64_t{value} << shift & mask);
  service(half / 2);
}

}  // namespace vireo
