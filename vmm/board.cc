#include "vmm/board.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/regs.h"

namespace vireo {

namespace {

std::string name_of(const Vcpu& vcpu) {
  return fmt::format("vcpu{}", vcpu.id());
}

}  // namespace

Board::Board(const Kvm& kvm, KvmVm& vm, Platform& platform, BoardConfig config, VcpuEvents& events,
             StateReader& saved)
    : kvm_(kvm), vm_(vm), platform_(platform), config_(config), supported_(kvm.supported_cpuid()) {
  map_memory();  // first: after the interrupt controllers KVM takes milliseconds for it
  create_irqchip(vm_);
  if (!has_pc_irqchip()) ioapic_.emplace(platform_.mmio, vm_, saved.take<IoApic::State>("ioapic"));
  for (uint32_t id = 0; id < config_.vcpus; ++id)
    vcpus_.push_back(
        std::make_unique<Vcpu>(id, create_vcpu(vm_, id), platform_.mmio, platform_.pio, events));
}

void Board::map_memory() {
  for (const auto& region : platform_.memory.regions()) vm_.add_memory(region.start, region.bytes);
  if (kvm_.check_extension(KVM_CAP_READONLY_MEM) > 0)
    vm_.add_read_only_memory(platform_.register_pages.start(), platform_.register_pages.memory());
}

void Board::create_irqchip(KvmVm& vm) const {
  vm.set_special_pages();
  if (!has_pc_irqchip()) return vm.create_local_apics();
  vm.create_irqchip();
  // A guest that believes the tables, in which there are no PICs, would never mask them.
  vm.mask_pics();
  vm.create_pit();
}

CpuidTable Board::cpuid_of(uint32_t vcpu, uint32_t tsc_khz) const {
  return guest_cpuid(supported_,
                     {.vcpu = vcpu,
                      .vcpus = config_.vcpus,
                      .tsc_deadline = kvm_.check_extension(KVM_CAP_TSC_DEADLINE_TIMER) > 0,
                      .tsc_khz = tsc_khz});
}

// restore() sees to the frequency.
CpuidTable Board::cpuid() const {
  return cpuid_of(0, 0);
}

// With its CPUID, on which KVM makes depend what other state there is.
KvmVcpu Board::create_vcpu(KvmVm& vm, uint32_t id) const {
  KvmVcpu vcpu = vm.create_vcpu(id);
  vcpu.set_cpuid(cpuid_of(id, vcpu.tsc_khz().value_or(0)));
  return vcpu;
}

IrqLine Board::connect(uint32_t gsi) {
  return ioapic_ ? IrqLine(*ioapic_, gsi) : IrqLine(vm_, gsi);
}

void Board::end_of_interrupt(uint8_t vector) {
  if (ioapic_) ioapic_->end_of_interrupt(vector);
}

// --- running ---

void Board::enter(const EntryState& entry) {
  enter_at(vcpus_.front()->kvm(), entry);
}

void Board::start() {
  for (auto& vcpu : vcpus_) vcpu->start();
}

void Board::resume() {
  for (auto& vcpu : vcpus_) vcpu->resume();
}

void Board::request_park() noexcept {
  for (auto& vcpu : vcpus_) vcpu->request_pause();
}

void Board::park() {
  request_park();
  for (auto& vcpu : vcpus_) vcpu->wait_parked();
}

void Board::stop() {
  for (auto& vcpu : vcpus_) vcpu->request_stop();
  for (auto& vcpu : vcpus_) vcpu->stop();
}

void Board::tell_paused() {
  for (auto& vcpu : vcpus_) vcpu->kvm().tell_paused();
}

uint64_t Board::exits() const noexcept {
  uint64_t sum = 0;
  for (const auto& vcpu : vcpus_) sum += vcpu->exits();
  return sum;
}

// --- state ---

StateShape Board::state_shape() const {
  return {kvm_.saved_msrs(),
          static_cast<size_t>(std::max(vm_.check_extension(KVM_CAP_XSAVE2), 4096))};
}

void Board::save(StateWriter& writer) const {
  const StateShape shape = state_shape();
  for (const auto& vcpu : vcpus_) writer.put(name_of(*vcpu), save_vcpu(vcpu->kvm(), shape));
  writer.put("vm", save_vm(vm_, has_pc_irqchip()));
  if (ioapic_) writer.put("ioapic", ioapic_->save());
}

Board::State Board::take(StateReader& saved) const {
  State state{.vm = saved.take<VmState>("vm")};
  for (const auto& vcpu : vcpus_) state.vcpus.push_back(saved.take<VcpuState>(name_of(*vcpu)));
  return state;
}

void Board::restore(const State& state) {
  restore_vcpus(state.vcpus);
  restore_vm(vm_, state.vm);
}

void Board::restore_vcpus(const std::vector<VcpuState>& states) {
  const StateShape shape = state_shape();
  leave_tsc(vcpus_.front()->kvm(), states.front());
  for (size_t i = 0; i < vcpus_.size(); ++i)
    restore_vcpu(vcpus_[i]->kvm(), states[i], shape, platform_.log);
}

// KVM itself gives it to us, from a VM made for the purpose, so that an ordinary start pays nothing
// for it.
Board::State Board::power_on() const {
  KvmVm fresh = kvm_.create_vm();
  create_irqchip(fresh);
  const StateShape shape = state_shape();
  State state;
  for (const auto& vcpu : vcpus_)
    state.vcpus.push_back(save_vcpu(create_vcpu(fresh, vcpu->id()), shape));
  state.vm = save_vm(fresh, has_pc_irqchip());
  return state;
}

void Board::reset() {
  restore(power_on());
  if (ioapic_) ioapic_->reset();
}

}  // namespace vireo
