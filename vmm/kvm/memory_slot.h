// Memory of a device's in the guest's address space, outside of RAM (a framebuffer, a ROM), and the
// log of what is written there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace vireo {

// One piece of such memory; the guest sees it until the object ends. Thread: one at a time.
class MemorySlot {
 public:
  virtual ~MemorySlot() = default;
  // Every write that comes after a return of true is logged. False: the host refuses. The guest
  // pays for a log with one fault for each page that it writes first after take_written().
  virtual bool log_writes(bool on) noexcept = 0;
  // The pages written since the last call, or since logging began: page n is bit n % 64 of word
  // n / 64. Nothing when there is no log.
  virtual std::optional<std::vector<uint64_t>> take_written() = 0;
};

// Makes slots; a test's version may keep a table. Thread: control. Throws std::system_error.
class MemorySlots {
 public:
  virtual ~MemorySlots() = default;
  // Address and length are multiples of a page; the memory outlives the slot.
  virtual std::unique_ptr<MemorySlot> attach(uint64_t guest_address, std::span<std::byte> host) = 0;
  // The same, but that what the guest writes there is for the MMIO bus (KVM_MEM_READONLY, KVM API
  // 4.35). Nothing is logged.
  virtual std::unique_ptr<MemorySlot> attach_read_only(uint64_t guest_address,
                                                       std::span<std::byte> host) = 0;
};

}  // namespace vireo
