#include "vmm/machine.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/boot/acpi.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/regs.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

constexpr Range kMmioWindow{layout::kVirtioMmio, layout::kFramebuffer - layout::kVirtioMmio};

// What belongs to no device, yet must be the same machine again.
struct PlatformState {
  static constexpr StateTag kTag{"platform", 1};
  std::vector<std::array<uint64_t, 4>> devices;  // kind, address, length, GSI of each, in order

  static void fields(auto& self, auto& archive) { archive("devices", self.devices); }
};

PlatformState platform_of(const std::vector<AcpiDevice>& devices) {
  PlatformState state;
  for (const AcpiDevice& device : devices)
    state.devices.push_back(
        {static_cast<uint64_t>(device.kind), device.address, device.length, device.gsi});
  return state;
}

MachineConfig checked(MachineConfig config) {
  if (config.vcpus < 1 || config.vcpus > kMaxVcpus)
    throw ConfigError(fmt::format("a machine has 1 to {} vCPUs, not {}", kMaxVcpus, config.vcpus));
  return config;
}

std::string vcpu_name(uint32_t id) {
  return fmt::format("vcpu{}", id);
}

}  // namespace

Machine::Machine(MachineConfig config) : Machine(std::move(config), std::nullopt) {}

Machine::Machine(MachineConfig config, Snapshot snapshot)
    : Machine(std::move(config), std::optional<Snapshot>(std::move(snapshot))) {}

Machine::Machine(MachineConfig config, std::optional<Snapshot> snapshot)
    : config_(checked(std::move(config))),
      snapshot_(std::move(snapshot)),
      saved_(snapshot_ ? snapshot_->take_sections() : StateSections{}),
      kvm_(Kvm::open(config_.kvm_device)),
      vm_(kvm_.create_vm()),
      memory_(config_.memory),
      pool_(config_.workers),
      mmio_window_(kMmioWindow),
      irqs_(
          [this](uint32_t gsi) { return ioapic_ ? IrqLine(*ioapic_, gsi) : vm_.connect_irq(gsi); }),
      env_{memory_, loop_, pool_, mmio_,        pio_,       irqs_,
           vm_,     *this, acpi_, mmio_window_, config_.log} {
  if (snapshot_ && snapshot_->shape() != SnapshotShape{config_.memory.size, config_.vcpus})
    throw ConfigError(fmt::format("the snapshot is of a machine with {} MiB of memory and {} vCPUs",
                                  snapshot_->shape().memory / MiB, snapshot_->shape().vcpus));
  map_memory();  // first: after the interrupt controllers KVM takes milliseconds for it
  create_irqchip(vm_);
  if (!has_pc_irqchip())
    ioapic_.emplace(
        mmio_, [this](MsiMessage message) { vm_.signal_msi(message.address, message.data); },
        saved_.take<IoApic::State>("ioapic"));
  create_vcpus();
}

void Machine::create_irqchip(KvmVm& vm) const {
  vm.set_special_pages();
  if (!has_pc_irqchip()) return vm.create_local_apics();
  vm.create_irqchip();
  // A guest that believes the tables, in which there are no PICs, would never mask them.
  vm.mask_pics();
  vm.create_pit();
}

Machine::~Machine() {
  if (phase_ != Phase::stopped) stop();
}

void Machine::map_memory() {
  uint32_t slot = 0;
  for (const auto& region : memory_.regions())
    vm_.set_slot({.id = slot++, .guest_address = region.start, .host = region.bytes});
}

void Machine::create_vcpus() {
  const CpuidTable supported = kvm_.supported_cpuid();
  VcpuEvents& events = *this;
  const bool tsc_deadline = kvm_.check_extension(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
  for (uint32_t id = 0; id < config_.vcpus; ++id) {
    KvmVcpu vcpu = vm_.create_vcpu(id);
    vcpu.set_cpuid(guest_cpuid(supported, {.vcpu = id,
                                           .vcpus = config_.vcpus,
                                           .tsc_deadline = tsc_deadline,
                                           .tsc_khz = vcpu.tsc_khz().value_or(0)}));
    vcpus_.push_back(std::make_unique<Vcpu>(id, std::move(vcpu), mmio_, pio_, events));
  }
}

void Machine::adopt(std::unique_ptr<Device> device) {
  expect(Phase::created, "devices are added before start()");
  devices_.push_back(std::move(device));
}

void Machine::expect(Phase phase, const char* what) const {
  VMM_CHECK(phase_ == phase, what);
}

// --- starting ---

void Machine::start() {
  expect(Phase::created, "a machine starts once");
  if (snapshot_)
    restore();
  else
    power_on();
  start_devices();
  io_thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "io-0");
    loop_.run();
  });
  for (auto& vcpu : vcpus_) vcpu->start();
  phase_ = Phase::running;
  resume_vcpus();
}

void Machine::power_on() {
  if (!boot_) throw ConfigError("the machine has nothing to start: give it a kernel");
  std::vector<uint32_t> apic_ids(config_.vcpus);
  std::iota(apic_ids.begin(), apic_ids.end(), 0);
  const uint64_t rsdp = write_acpi_tables(memory_, {.apic_ids = apic_ids, .devices = acpi_});
  const LoadedKernel kernel = load_linux(memory_, *boot_, rsdp, config_.log);
  enter_at(vcpus_.front()->kvm(), kernel.entry);
}

void Machine::restore() {
  const auto platform = saved_.take<PlatformState>("platform");
  if (platform.devices != platform_of(acpi_).devices)
    throw ConfigError("the snapshot is of a machine with other devices, or in another order");
  const auto vm = saved_.take<VmState>("vm");
  std::vector<VcpuState> states;
  for (const auto& vcpu : vcpus_) states.push_back(saved_.take<VcpuState>(vcpu_name(vcpu->id())));
  saved_.check_all_taken();
  snapshot_->load_memory(memory_);
  for (size_t i = 0; i < vcpus_.size(); ++i) restore_vcpu(vcpus_[i]->kvm(), states[i], config_.log);
  restore_vm(vm_, vm);
}

void Machine::start_devices() {
  for (auto& device : devices_) device->start();
}

void Machine::resume_vcpus() {
  for (auto& vcpu : vcpus_) vcpu->resume();
}

// --- pausing ---

void Machine::request_pause_all() noexcept {
  for (auto& vcpu : vcpus_) vcpu->request_pause();
}

void Machine::park_vcpus() {
  request_pause_all();
  for (auto& vcpu : vcpus_) vcpu->wait_parked();
}

Task<void> Machine::stop_devices() {
  for (auto& device : devices_) co_await device->stop();
}

Task<void> Machine::close_devices() {
  for (auto& device : devices_) co_await device->close();
}

void Machine::pause() {
  expect(Phase::running, "only a running machine can be paused");
  park_vcpus();
  call(loop_, stop_devices());
  phase_ = Phase::paused;
}

void Machine::resume() {
  expect(Phase::paused, "only a paused machine can be resumed");
  call(loop_, [this] { start_devices(); });
  for (auto& vcpu : vcpus_) vcpu->kvm().tell_paused();
  phase_ = Phase::running;
  if (const std::lock_guard lock(mutex_); end_ || reset_asked_) return;  // wait() takes over
  resume_vcpus();
}

void Machine::stop() {
  if (phase_ == Phase::stopped) return;
  if (phase_ == Phase::created) {
    block_on(loop_, close_devices());
  } else {
    if (phase_ == Phase::running) pause();
    for (auto& vcpu : vcpus_) vcpu->stop();
    call(loop_, close_devices());
    loop_.stop();
    io_thread_.join();
  }
  phase_ = Phase::stopped;
  finish({.reason = End::Reason::stopped});
}

void Machine::save(const std::string& directory) {
  expect(Phase::paused, "only a paused machine can be saved");
  const StateShape shape{kvm_.saved_msrs(),
                         static_cast<size_t>(std::max(vm_.check_extension(KVM_CAP_XSAVE2), 4096))};
  StateWriter writer;
  writer.put("platform", platform_of(acpi_));
  for (auto& vcpu : vcpus_) writer.put(vcpu_name(vcpu->id()), save_vcpu(vcpu->kvm(), shape));
  writer.put("vm", save_vm(vm_, has_pc_irqchip()));
  if (ioapic_) writer.put("ioapic", ioapic_->save());
  call(loop_, [&] {
    for (const auto& device : devices_) device->save(writer);
  });
  Snapshot::save(directory, {memory_.size(), config_.vcpus}, writer.take(), memory_);
}

// A reset is the state of a machine that never ran, which KVM itself gives us: from a VM made for
// the purpose, so that an ordinary start pays nothing for it.
void Machine::reset() {
  pause();
  call(loop_, [this] {
    for (auto& device : devices_) device->reset();
  });
  KvmVm fresh = kvm_.create_vm();
  create_irqchip(fresh);
  const StateShape shape{kvm_.saved_msrs(),
                         static_cast<size_t>(std::max(vm_.check_extension(KVM_CAP_XSAVE2), 4096))};
  for (auto& vcpu : vcpus_)
    restore_vcpu(vcpu->kvm(), save_vcpu(fresh.create_vcpu(vcpu->id()), shape), config_.log);
  restore_vm(vm_, save_vm(fresh, has_pc_irqchip()));
  if (ioapic_) ioapic_->reset();
  memory_.clear();
  power_on();
  {
    const std::lock_guard lock(mutex_);
    reset_asked_ = false;
  }
  resume();
}

// --- events and the end ---

void Machine::finish(End end) {
  {
    const std::lock_guard lock(mutex_);
    if (!end_) end_ = std::move(end);
  }
  request_pause_all();
  event_.notify_all();
}

void Machine::vcpu_crashed(uint32_t, const std::string& cause) {
  finish({.reason = End::Reason::crash, .detail = cause});
}

void Machine::vcpu_failed(uint32_t, const std::string& cause) {
  host_error(cause);
}

void Machine::guest_power_off() {
  finish({.reason = End::Reason::power_off});
}

void Machine::guest_debug_exit(uint32_t value) {
  finish({.reason = End::Reason::debug_exit, .value = value});
}

void Machine::host_error(const std::string& what) {
  finish({.reason = End::Reason::host_error, .detail = what});
}

void Machine::request_stop() {
  finish({.reason = End::Reason::stopped});
}

void Machine::guest_reset() {
  if (!config_.reboot || !boot_) return finish({.reason = End::Reason::reset});
  {
    const std::lock_guard lock(mutex_);
    reset_asked_ = true;
  }
  request_pause_all();
  event_.notify_all();
}

bool Machine::wait_for_event(std::optional<std::chrono::steady_clock::time_point> deadline) {
  std::unique_lock lock(mutex_);
  const auto happened = [this] { return end_ || reset_asked_; };
  if (deadline) return event_.wait_until(lock, *deadline, happened);
  event_.wait(lock, happened);
  return true;
}

End Machine::wait() {
  while (true) {
    wait_for_event(std::nullopt);
    if (auto end = settle()) return *end;
  }
}

std::optional<End> Machine::wait_until(std::chrono::steady_clock::time_point deadline) {
  while (wait_for_event(deadline))
    if (auto end = settle()) return end;
  return std::nullopt;
}

// Carries out what happened: the end, for which everything stops, or a reboot.
std::optional<End> Machine::settle() {
  std::optional<End> end;
  {
    const std::lock_guard lock(mutex_);
    end = end_;
  }
  if (end)
    stop();
  else
    reset();
  return end;
}

uint64_t Machine::exits() const noexcept {
  uint64_t sum = 0;
  for (const auto& vcpu : vcpus_) sum += vcpu->exits();
  return sum;
}

}  // namespace vireo
