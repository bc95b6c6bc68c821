#include "vmm/cpu/regs.h"

#include <cstring>

namespace vireo {

namespace {

constexpr uint32_t kMsrMtrrDefType = 0x2ff;
constexpr uint64_t kMtrrEnableWriteBack = 0x806;
constexpr uint16_t kFpuControlAtReset = 0x37f;  // what FNINIT leaves
constexpr uint32_t kMxcsrAtReset = 0x1f80;
constexpr size_t kApicLint0 = 0x350, kApicLint1 = 0x360;
constexpr uint32_t kDeliverExtInt = 0x700, kDeliverNmi = 0x400;

kvm_segment segment(const EntrySegment& from) {
  kvm_segment to{};
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  to.type = from.type & 0xf;
  to.present = 1;
  to.s = from.code_or_data;
  to.db = from.db;
  to.l = from.l;
  to.g = from.g;
  return to;
}

void set_system_registers(KvmVcpu& vcpu, const EntryState& entry) {
  auto sregs = vcpu.get<kvm_sregs>(KVM_GET_SREGS, "KVM_GET_SREGS");
  sregs.cs = segment(entry.code);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(entry.data);
  sregs.tr = segment(entry.task);
  sregs.gdt.base = entry.gdt.base;
  sregs.gdt.limit = entry.gdt.limit;
  sregs.idt.base = entry.idt.base;
  sregs.idt.limit = entry.idt.limit;
  sregs.cr0 = entry.cr0;
  sregs.cr3 = entry.cr3;
  sregs.cr4 = entry.cr4;
  sregs.efer = entry.efer;
  vcpu.set(KVM_SET_SREGS, sregs, "KVM_SET_SREGS");
}

void set_general_registers(KvmVcpu& vcpu, const EntryState& entry) {
  kvm_regs regs{};
  regs.rip = entry.rip;
  regs.rsp = entry.rsp;
  regs.rax = entry.rax;
  regs.rbx = entry.rbx;
  regs.rsi = entry.rsi;
  regs.rflags = entry.rflags;
  vcpu.set(KVM_SET_REGS, regs, "KVM_SET_REGS");
}

void set_fpu(KvmVcpu& vcpu) {
  kvm_fpu fpu{};
  fpu.fcw = kFpuControlAtReset;
  fpu.mxcsr = kMxcsrAtReset;
  vcpu.set(KVM_SET_FPU, fpu, "KVM_SET_FPU");
}

// Firmware leaves the memory types on, with write-back as the default.
void set_memory_types(KvmVcpu& vcpu) {
  kvm_msr_entry entry{};
  entry.index = kMsrMtrrDefType;
  entry.data = kMtrrEnableWriteBack;
  vcpu.set_msrs({entry});
}

// Firmware's virtual wire mode: the 8259's interrupt on LINT0, NMI on LINT1.
void set_local_interrupts(KvmVcpu& vcpu) {
  auto lapic = vcpu.get<kvm_lapic_state>(KVM_GET_LAPIC, "KVM_GET_LAPIC");
  std::memcpy(lapic.regs + kApicLint0, &kDeliverExtInt, sizeof kDeliverExtInt);
  std::memcpy(lapic.regs + kApicLint1, &kDeliverNmi, sizeof kDeliverNmi);
  vcpu.set(KVM_SET_LAPIC, lapic, "KVM_SET_LAPIC");
}

}  // namespace

void enter_at(KvmVcpu& vcpu, const EntryState& entry) {
  set_system_registers(vcpu, entry);
  set_general_registers(vcpu, entry);
  set_fpu(vcpu);
  set_memory_types(vcpu);
  set_local_interrupts(vcpu);
}

}  // namespace vireo
