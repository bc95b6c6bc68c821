// The I/O APIC (82093AA): 24 inputs, each of which its redirection entry turns into a message to a
// local APIC. It is ours, not KVM's: with KVM's own (and the PICs and timer that come with it) a
// machine takes tens of milliseconds longer to be torn down on recent hosts, see docs/decisions.md.
//
// An edge is remembered while the entry is masked, and so is a raise() that comes between a
// level-triggered interrupt and its end. Levels are not part of the state: devices tell theirs when
// they start.
//
// Thread: any; one mutex, held for register updates and look-ups, and while KVM is told which ends
// of interrupt to report. That takes milliseconds, but only guests that have a level-triggered
// input come to it, when they set it up.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "vmm/base/state.h"
#include "vmm/bus.h"
#include "vmm/kvm/irq.h"
#include "vmm/kvm/msi.h"
#include "vmm/memory/layout.h"

namespace vireo {

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

  // Messages are sent with the mutex held, on the thread that raised, unmasked or ended.
  IoApic(Bus& mmio, LocalApics& apics, const State& state = {});

  void raise(uint32_t input) noexcept override;
  void set(uint32_t input, bool high) noexcept override;
  void end_of_interrupt(uint8_t vector);
  void reset();  // the levels stay, which are the devices'
  State save() const;

  void io_read(uint64_t offset, std::span<std::byte> out) override;
  void io_write(uint64_t offset, std::span<const std::byte> in) override;

 private:
  uint32_t read_register() const noexcept;
  void write_register(uint32_t value);
  void write_entry(uint32_t half, uint32_t value);
  void service(uint32_t input) noexcept;
  void report_ends();

  mutable std::mutex mutex_;
  State state_;                         // guarded by mutex_, as the two below
  uint32_t high_ = 0;                   // a bit per input
  std::vector<MsiMessage> reported_{};  // whose ends are
  LocalApics& apics_;
  Bus::Region region_;
};

}  // namespace vireo
