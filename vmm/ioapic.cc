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
// An entry (3.2.4).
constexpr uint64_t kVector = 0xff;
constexpr uint64_t kDeliveryStatus = 1 << 12;
constexpr uint64_t kRemoteIrr = 1 << 14;  // a level-triggered interrupt has not come to its end
constexpr uint64_t kLevel = 1 << 15;
// Delivery status and remote IRR are the chip's, not the guest's, to write.
constexpr uint64_t kReadOnlyBits = kDeliveryStatus | kRemoteIrr;
constexpr uint32_t kLowestPriority = 1;
constexpr uint32_t kExtInt = 7;
// Of a message: asserted (SDM vol. 3, 11.11.2).
constexpr uint32_t kAssert = 1 << 14;

uint32_t mode_of(uint64_t entry) {
  return entry >> 8 & 7;
}

// The other modes are edges, whatever the entry says.
bool is_level(uint64_t entry) {
  return (entry & kLevel) != 0 && mode_of(entry) <= kLowestPriority;
}

MsiMessage message_of(uint64_t entry) {
  const auto destination = static_cast<uint32_t>(entry >> 56);
  const auto logical = static_cast<uint32_t>(entry >> 11 & 1);
  const auto mode_and_vector = static_cast<uint32_t>(entry & 0x7ff);
  const uint32_t trigger = is_level(entry) ? static_cast<uint32_t>(kLevel) | kAssert : 0;
  return {.address = static_cast<uint32_t>(layout::kLocalApic) | destination << 12 | logical << 2,
          .data = mode_and_vector | trigger};
}

bool is_deliverable(uint64_t entry) {
  return (entry & (kIoApicMasked | kRemoteIrr)) == 0 && mode_of(entry) != kExtInt;
}

}  // namespace

IoApic::IoApic(Bus& mmio, LocalApics& apics, const State& state)
    : state_(state),
      apics_(apics),
      region_(mmio.map({layout::kIoApic, kLength}, *this, "I/O APIC")) {
  report_ends();
}

void IoApic::raise(uint32_t input) noexcept {
  VMM_CHECK(input < layout::kGsiCount, "an I/O APIC input exists");
  const std::lock_guard lock(mutex_);
  state_.pending |= 1U << input;
  service(input);
}

void IoApic::set(uint32_t input, bool high) noexcept {
  VMM_CHECK(input < layout::kGsiCount, "an I/O APIC input exists");
  const uint32_t bit = 1U << input;
  const std::lock_guard lock(mutex_);
  if (high == ((high_ & bit) != 0)) return;
  high_ ^= bit;
  if (high)
    state_.pending |= bit;
  else
    state_.pending &= ~bit;
  service(input);
}

void IoApic::end_of_interrupt(uint8_t vector) {
  const std::lock_guard lock(mutex_);
  for (uint32_t input = 0; input < layout::kGsiCount; ++input) {
    uint64_t& entry = state_.entries[input];
    if ((entry & kRemoteIrr) == 0 || (entry & kVector) != vector) continue;
    entry &= ~kRemoteIrr;
    service(input);
  }
}

void IoApic::reset() {
  const std::lock_guard lock(mutex_);
  state_ = State{};
  report_ends();
}

// Without remote IRR: whether an end that the guest has made came through is the vCPU's to know.
// One that comes after all finds nothing, and a line that is high interrupts once too often.
IoApic::State IoApic::save() const {
  const std::lock_guard lock(mutex_);
  State state = state_;
  for (uint64_t& entry : state.entries) entry &= ~kRemoteIrr;
  return state;
}

void IoApic::service(uint32_t input) noexcept {
  const uint32_t bit = 1U << input;
  uint64_t& entry = state_.entries[input];
  const bool level = is_level(entry);
  const bool asserted = (state_.pending & bit) != 0 || (level && (high_ & bit) != 0);
  if (!asserted || !is_deliverable(entry)) return;
  state_.pending &= ~bit;
  if (level) entry |= kRemoteIrr;
  apics_.send(message_of(entry));
}

// Masked ones, too: a guest may mask an input between its interrupt and the end of it.
void IoApic::report_ends() {
  std::vector<MsiMessage> messages;
  for (const uint64_t entry : state_.entries)
    if (is_level(entry)) messages.push_back(message_of(entry));
  if (messages == reported_) return;
  apics_.report_ends_of(messages);
  reported_ = std::move(messages);
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

// An entry that is made edge-triggered forgets what it waits for; drivers rely on that.
void IoApic::write_entry(uint32_t half, uint32_t value) {
  uint64_t& entry = state_.entries[half / 2];
  const unsigned shift = half % 2 * 32;
  const uint64_t mask = 0xffffffffULL << shift & ~kReadOnlyBits;
  entry = (entry & ~mask) | (uint64_t{value} << shift & mask);
  if (!is_level(entry)) entry &= ~kRemoteIrr;
  report_ends();
  service(half / 2);
}

}  // namespace vireo
