// Messages to the local APICs, which is what all interrupts come to: the I/O APIC's, and those that
// devices send themselves.
#pragma once

#include <cstdint>
#include <span>

namespace vireo {

// A write to the interrupt address range: what an APIC is told (Intel SDM vol. 3, 11.11).
struct MsiMessage {
  uint32_t address = 0;
  uint32_t data = 0;
  bool operator==(const MsiMessage&) const = default;
};

// The local APICs, for whoever sends to them. Thread: any; report_ends_of() one at a time.
class LocalApics {
 public:
  virtual ~LocalApics() = default;
  // A message that nobody takes is lost, as on hardware.
  virtual void send(MsiMessage message) noexcept = 0;
  // Which level-triggered messages, at most layout::kGsiCount, have their ends of interrupt told
  // (VcpuEvents::end_of_interrupt), instead of those before. Takes milliseconds. Throws
  // std::system_error.
  virtual void report_ends_of(std::span<const MsiMessage> messages) = 0;
};

}  // namespace vireo
