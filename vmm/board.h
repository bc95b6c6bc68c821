// A machine's processors and interrupt controllers, which are KVM's but for the I/O APIC: made,
// run, saved, restored and reset together.
//
// Thread: control, but for request_park(), connect()'s lines and exits(), which are anybody's. What
// touches registers (enter, save, restore, reset) is for while the vCPUs are parked.
// Errors: std::system_error from KVM; StateError and ConfigError for a state that does not fit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "vmm/base/state.h"
#include "vmm/boot/entry.h"
#include "vmm/cpu/state.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/ioapic.h"
#include "vmm/kvm/kvm.h"
#include "vmm/platform.h"

namespace vireo {

// apic: local APICs and an I/O APIC, all that Linux needs. pc: the 8259 PICs and the 8254 timer,
// too, for kernels that cannot do without; costs some tens of milliseconds at start and end.
enum class Irqchip : uint8_t { apic, pc };

struct BoardConfig {
  uint32_t vcpus = 1;
  Irqchip irqchip = Irqchip::apic;
};

class Board {
 public:
  struct State {
    std::vector<VcpuState> vcpus{};
    VmState vm{};
  };

  // Gives the VM its memory, too. What of it the snapshot has is taken from `saved`.
  Board(const Kvm& kvm, KvmVm& vm, Platform& platform, BoardConfig config, VcpuEvents& events,
        StateReader& saved);

  IrqLine connect(uint32_t gsi);          // an input of the I/O APIC
  void end_of_interrupt(uint8_t vector);  // a vCPU's exit; its thread
  // What the first vCPU's CPUID tells, without the frequency of the time stamp counter.
  CpuidTable cpuid() const;

  // The first vCPU starts there, when it is resumed.
  void enter(const EntryState& entry);
  void start();   // the vCPUs' threads, parked
  void resume();  // idempotent
  void request_park() noexcept;
  void park();  // out of the guest, with their last I/O instructions completed
  void stop();  // ends the threads
  // The guest did not run for a while: its watchdogs shall not bark.
  void tell_paused();
  uint64_t exits() const noexcept;  // to user space so far, of all vCPUs

  void save(StateWriter& writer) const;
  State take(StateReader& saved) const;
  void restore(const State& state);
  // As a board that never ran.
  void reset();

 private:
  bool has_pc_irqchip() const noexcept { return config_.irqchip == Irqchip::pc; }
  void map_memory();
  void create_irqchip(KvmVm& vm) const;
  CpuidTable cpuid_of(uint32_t vcpu, uint32_t tsc_khz) const;
  KvmVcpu create_vcpu(KvmVm& vm, uint32_t id) const;
  StateShape state_shape() const;
  State power_on() const;
  void restore_vcpus(const std::vector<VcpuState>& states);

  const Kvm& kvm_;
  KvmVm& vm_;
  Platform& platform_;
  const BoardConfig config_;
  const CpuidTable supported_;    // what KVM can tell a guest
  std::optional<IoApic> ioapic_;  // unless KVM has it
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
};

}  // namespace vireo
