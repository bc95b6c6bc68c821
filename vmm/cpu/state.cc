#include "vmm/cpu/state.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo {

namespace {

constexpr uint32_t kMsrTsc = 0x10;
constexpr uint32_t kMsrTscDeadline = 0x6e0;
// The range KVM keeps its paravirtual clocks in; the index list of older kernels omits some.
constexpr std::array<uint32_t, 9> kKvmMsrs{0x4b564d00, 0x4b564d01, 0x4b564d02,
                                           0x4b564d03, 0x4b564d04, 0x4b564d05,
                                           0x4b564d06, 0x4b564d07, 0x4b564d08};

// What KVM keeps but does not list: the memory type range registers (Intel SDM vol. 3, 12.11),
// eight variable ranges and all the fixed ones.
constexpr uint32_t kMtrrVariable = 0x200, kMtrrVariableCount = 2 * 8;
constexpr std::array<uint32_t, 12> kMtrrOthers{0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                               0x26b, 0x26c, 0x26d, 0x26e, 0x26f, 0x2ff};

template <class T>
std::vector<std::byte> bytes_from(const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));  // unions and all
  return {bytes.begin(), bytes.end()};
}

template <class T>
T to_struct(const std::vector<std::byte>& bytes, const char* what) {
  T value{};
  if (bytes.size() != sizeof value)
    throw StateError(fmt::format("the saved {} has {} bytes, this kernel's has {}", what,
                                 bytes.size(), sizeof value));
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::vector<uint32_t> all_msrs(const StateShape& shape) {
  std::vector<uint32_t> indexes = shape.msrs;
  indexes.insert(indexes.end(), kKvmMsrs.begin(), kKvmMsrs.end());
  indexes.insert(indexes.end(), kMtrrOthers.begin(), kMtrrOthers.end());
  for (uint32_t i = 0; i < kMtrrVariableCount; ++i) indexes.push_back(kMtrrVariable + i);
  for (const uint32_t index : {kMsrTsc, kMsrTscDeadline}) indexes.push_back(index);
  std::sort(indexes.begin(), indexes.end());
  indexes.erase(std::unique(indexes.begin(), indexes.end()), indexes.end());
  return indexes;
}

// The TSC first, since deadlines are compared with it; its deadline last, when the APIC timer that
// it arms is in place.
MsrTable in_restore_order(const VcpuState& state) {
  MsrTable table;
  for (const auto& [index, value] : state.msrs) {
    kvm_msr_entry entry{};
    entry.index = index;
    entry.data = value;
    table.push_back(entry);
  }
  const auto rank = [](const kvm_msr_entry& entry) {
    return entry.index == kMsrTsc ? 0 : entry.index == kMsrTscDeadline ? 2 : 1;
  };
  std::stable_sort(table.begin(), table.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return table;
}

std::vector<std::byte> save_irqchip(const KvmVm& vm, uint32_t id) {
  kvm_irqchip chip{};
  chip.chip_id = id;
  vm.exchange(KVM_GET_IRQCHIP, chip, "KVM_GET_IRQCHIP");
  return bytes_from(chip);
}

void restore_irqchip(KvmVm& vm, const std::vector<std::byte>& saved) {
  auto chip = to_struct<kvm_irqchip>(saved, "interrupt controller");
  vm.exchange(KVM_SET_IRQCHIP, chip, "KVM_SET_IRQCHIP");
}

// KVM reads as many bytes as it would give, whatever is there.
void check_xsave(const VcpuState& state, const StateShape& shape) {
  if (state.xsave.size() != shape.xsave_size)
    throw StateError(fmt::format("the saved extended state has {} bytes, this host's has {}",
                                 state.xsave.size(), shape.xsave_size));
}

// Within what KVM itself takes for the same frequency (its default tolerance), nothing is to be
// done.
void restore_tsc_frequency(KvmVcpu& vcpu, uint32_t khz) {
  const uint32_t own = vcpu.tsc_khz().value_or(khz);
  const uint32_t difference = khz > own ? khz - own : own - khz;
  constexpr uint64_t kTolerancePpm = 250;
  if (khz == 0 || uint64_t{difference} * 1'000'000 <= uint64_t{own} * kTolerancePpm) return;
  if (!vcpu.set_tsc_khz(khz))
    throw ConfigError(
        fmt::format("the saved machine's time stamp counter runs at {} kHz, this host's at {} kHz, "
                    "and this processor cannot scale it: restore it on a host like its own",
                    khz, own));
}

}  // namespace

VcpuState save_vcpu(const KvmVcpu& vcpu, const StateShape& shape) {
  VcpuState state;
  state.mp_state = bytes_from(vcpu.get<kvm_mp_state>(KVM_GET_MP_STATE, "KVM_GET_MP_STATE"));
  state.regs = bytes_from(vcpu.get<kvm_regs>(KVM_GET_REGS, "KVM_GET_REGS"));
  state.sregs = bytes_from(vcpu.get<kvm_sregs>(KVM_GET_SREGS, "KVM_GET_SREGS"));
  state.xsave = vcpu.get_xsave(shape.xsave_size);
  state.xcrs = bytes_from(vcpu.get<kvm_xcrs>(KVM_GET_XCRS, "KVM_GET_XCRS"));
  state.debug_regs = bytes_from(vcpu.get<kvm_debugregs>(KVM_GET_DEBUGREGS, "KVM_GET_DEBUGREGS"));
  state.lapic = bytes_from(vcpu.get<kvm_lapic_state>(KVM_GET_LAPIC, "KVM_GET_LAPIC"));
  for (const kvm_msr_entry& entry : vcpu.get_msrs(all_msrs(shape)))
    state.msrs.emplace_back(entry.index, entry.data);
  state.events = bytes_from(vcpu.get<kvm_vcpu_events>(KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS"));
  state.tsc_khz = vcpu.tsc_khz().value_or(0);
  return state;
}

void restore_vcpu(KvmVcpu& vcpu, const VcpuState& state, const StateShape& shape,
                  const Logger& log) {
  check_xsave(state, shape);
  restore_tsc_frequency(vcpu, state.tsc_khz);
  vcpu.set(KVM_SET_SREGS, to_struct<kvm_sregs>(state.sregs, "segment registers"), "KVM_SET_SREGS");
  vcpu.set(KVM_SET_REGS, to_struct<kvm_regs>(state.regs, "registers"), "KVM_SET_REGS");
  vcpu.set(KVM_SET_XCRS, to_struct<kvm_xcrs>(state.xcrs, "extended control registers"),
           "KVM_SET_XCRS");
  vcpu.set_xsave(state.xsave);
  vcpu.set(KVM_SET_DEBUGREGS, to_struct<kvm_debugregs>(state.debug_regs, "debug registers"),
           "KVM_SET_DEBUGREGS");
  vcpu.set(KVM_SET_LAPIC, to_struct<kvm_lapic_state>(state.lapic, "local APIC"), "KVM_SET_LAPIC");
  for (const uint32_t index : vcpu.set_msrs(in_restore_order(state)))
    log.debug("vcpu", fmt::format("MSR {:#x} cannot be restored on this host", index));
  vcpu.set(KVM_SET_VCPU_EVENTS, to_struct<kvm_vcpu_events>(state.events, "pending events"),
           "KVM_SET_VCPU_EVENTS");
  vcpu.set(KVM_SET_MP_STATE, to_struct<kvm_mp_state>(state.mp_state, "run state"),
           "KVM_SET_MP_STATE");
}

void leave_tsc(KvmVcpu& first, const VcpuState& state) {
  constexpr uint64_t kFarAway = uint64_t{1} << 62;
  for (const auto& [index, value] : state.msrs) {
    if (index != kMsrTsc) continue;
    kvm_msr_entry entry{};
    entry.index = kMsrTsc;
    entry.data = value + kFarAway;
    first.set_msrs({entry});
  }
}

VmState save_vm(const KvmVm& vm, bool irqchip) {
  VmState state;
  if (irqchip) {
    state.master_pic = save_irqchip(vm, KVM_IRQCHIP_PIC_MASTER);
    state.slave_pic = save_irqchip(vm, KVM_IRQCHIP_PIC_SLAVE);
    state.ioapic = save_irqchip(vm, KVM_IRQCHIP_IOAPIC);
    kvm_pit_state2 pit{};
    vm.exchange(KVM_GET_PIT2, pit, "KVM_GET_PIT2");
    state.pit = bytes_from(pit);
  }
  kvm_clock_data clock{};
  vm.exchange(KVM_GET_CLOCK, clock, "KVM_GET_CLOCK");
  state.kvmclock_ns = clock.clock;
  return state;
}

void restore_vm(KvmVm& vm, const VmState& state) {
  for (const auto* chip : {&state.master_pic, &state.slave_pic, &state.ioapic})
    if (!chip->empty()) restore_irqchip(vm, *chip);
  if (!state.pit.empty()) {
    auto pit = to_struct<kvm_pit_state2>(state.pit, "interval timer");
    vm.exchange(KVM_SET_PIT2, pit, "KVM_SET_PIT2");
  }
  kvm_clock_data clock{};
  clock.clock = state.kvmclock_ns;
  vm.exchange(KVM_SET_CLOCK, clock, "KVM_SET_CLOCK");
}

}  // namespace vireo
