// The registers of a vCPU and of the VM's interrupt controllers and clock, as KVM hands them out:
// for snapshots, and for reset (which restores the state of a machine that never ran).
//
// Thread: control, while the vCPUs are paused. The structures of the kernel's interface are kept as
// bytes: their layout is the kernel's promise, their meaning is not ours.
// Errors: std::system_error from KVM; StateError when bytes do not have the size KVM's structures
// have.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "vmm/base/log.h"
#include "vmm/base/state.h"
#include "vmm/kvm/kvm.h"

namespace vireo {

struct VcpuState {
  static constexpr StateTag kTag{"x86-vcpu", 1};
  using Bytes = std::vector<std::byte>;

  Bytes regs, sregs, xsave, xcrs, debug_regs, lapic, events, mp_state;
  std::vector<std::pair<uint32_t, uint64_t>> msrs;
  uint32_t tsc_khz = 0;

  static void fields(auto& self, auto& archive) {
    archive("regs", self.regs)("sregs", self.sregs)("xsave", self.xsave)("xcrs", self.xcrs)(
        "debug_regs", self.debug_regs)("lapic", self.lapic)("events", self.events)(
        "mp_state", self.mp_state)("msrs", self.msrs)("tsc_khz", self.tsc_khz);
  }
  bool operator==(const VcpuState&) const = default;
};

struct VmState {
  static constexpr StateTag kTag{"x86-vm", 1};
  std::vector<std::byte> master_pic, slave_pic, ioapic, pit;  // empty where they are not KVM's
  uint64_t kvmclock_ns = 0;

  static void fields(auto& self, auto& archive) {
    archive("master_pic", self.master_pic)("slave_pic", self.slave_pic)("ioapic", self.ioapic)(
        "pit", self.pit)("kvmclock_ns", self.kvmclock_ns);
  }
  bool operator==(const VmState&) const = default;
};

// What of KVM's abilities decides the shape of the state.
struct StateShape {
  std::vector<uint32_t> msrs;  // Kvm::saved_msrs()
  size_t xsave_size = 4096;
};

VcpuState save_vcpu(const KvmVcpu& vcpu, const StateShape& shape);
// MSRs that this host refuses are logged and skipped. Throws StateError when the state is not of
// this shape, ConfigError when this host cannot give the guest its time stamp counter's frequency.
void restore_vcpu(KvmVcpu& vcpu, const VcpuState& state, const StateShape& shape,
                  const Logger& log);
// To be called for the first of a VM's vCPUs before any of them is restored. Without it KVM may
// take a time stamp counter that differs from the VM's own by less than a second for an attempt to
// bring the two in step, and keep its own: time would run backwards, or apart on several vCPUs.
void leave_tsc(KvmVcpu& first, const VcpuState& state);
// `irqchip`: KVM has the PICs, the I/O APIC and the timer.
VmState save_vm(const KvmVm& vm, bool irqchip);
// The guest's clock goes on from where it stood: time that passed meanwhile is not seen.
void restore_vm(KvmVm& vm, const VmState& state);

}  // namespace vireo
