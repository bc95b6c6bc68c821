// The I/O APIC (82093AA): 24 inputs, each of which its redirection entry turns into a message to a
// local APIC. It is ours, not KVM's: with KVM's own (and the PICs and timer that come with it) a
// machine takes tens of milliseconds longer to be torn down on recent hosts, see docs/decisions.md.
//
// Inputs are edge-triggered: raise() is one interrupt, remembered while the entry is masked.
// Entries that a guest programs for level are delivered once per raise, too. Thread: any; one
// mutex, held for register updates and look-ups only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>

#include "vmm/base/state.h"
#include "vmm/bus.h"
#include "vmm/kvm/irq.h"
#include "vmm/memory/layout.h"

namespace vireo {

// A write to the interrupt address range: what an APIC is told (Intel SDM vol. 3, 11.11).
struct MsiMessage {
  uint32_t address = 0;
  uint32_t data = 0;
  bool operator==(const MsiMessage&) const = default;
};

inline constexpr uint64_t kIoApicMasked = 1 << 16;  // an entry's mask bit

struct IoApicState {
  static constexpr StateTag kTag{"ioapic", 1};
  uint32_t select = 0;
  uint32_t id = 0;
  uint32_t pending = 0;  // a bit per input
  std::array<uint64_t, layout::kGsiCount> entries = all_masked();

  static void fields(auto& self, auto& archive) {
    archive("select", self.select)("id", self.id)("pending", self.pending)("entries", self.entries);
  }
  bool operator==(const IoApicState&) const = default;
  static constexpr std::array<uint64_t, layout::kGsiCount> all_masked() {
    std::array<uint64_t, layout::kGsiCount> entries{};
    entries.fill(kIoApicMasked);
    return entries;
  }
};

class IoApic final : public IoHandler, public IrqInputs {
 public:
  using State = IoApicState;

  // `deliver` is called with the mutex held, on the thread that raised or unmasked.
  using Deliver = std::function<void(MsiMessage)>;
  IoApic(Bus& mmio, Deliver deliver, const State& state = {});

  void raise(uint32_t input) noexcept override;
  void reset();
  State save() const;

  void io_read(uint64_t offset, std::span<std::byte> out) override;
  void io_write(uint64_t offset, std::span<const std::byte> in) override;

 private:
  uint32_t read_register() const noexcept;
  void write_register(uint32_t value);
  void write_entry(uint32_t half, uint32_t value);
  void service(uint32_t input);

  mutable std::mutex mutex_;
  State state_;  // guarded by mutex_
  Deliver deliver_;
  Bus::Region region_;
};

}  // namespace vireo
