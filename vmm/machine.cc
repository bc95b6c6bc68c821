#include "vmm/machine.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/regs.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

// What belongs to no device, yet must be the same machine again.
struct PlatformState {
  static constexpr StateTag kTag{"platform", 2};
  uint64_t tables = 0;     // a hash of what the firmware tables say of the devices
  uint64_t processor = 0;  // a hash of what CPUID tells the first vCPU

  static void fields(auto& self, auto& archive) {
    archive("tables", self.tables)("processor", self.processor);
  }
};

// FNV-1a
class Fingerprint {
 public:
  void add(uint64_t value) noexcept { hash_ = (hash_ ^ value) * 0x100000001b3; }
  uint64_t hash() const noexcept { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

uint64_t fingerprint(const CpuidTable& table) {
  Fingerprint all;
  for (const kvm_cpuid_entry2& entry : table)
    for (const uint32_t word :
         {entry.function, entry.index, entry.eax, entry.ebx, entry.ecx, entry.edx})
      all.add(word);
  return all.hash();
}

uint64_t fingerprint(const AcpiNamespace& names) {
  Fingerprint all;
  for (const AcpiDevice& device : names.devices())
    for (const std::byte byte : aml_of(device)) all.add(std::to_integer<uint64_t>(byte));
  return all.hash();
}

PlatformState platform_of(const AcpiNamespace& names, const CpuidTable& cpuid) {
  return {.tables = fingerprint(names), .processor = fingerprint(cpuid)};
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
      cpuid_(kvm_.supported_cpuid()),
      vm_(kvm_.create_vm()),
      memory_(config_.memory),
      pool_(config_.workers),
      platform_{.memory = memory_,
                .pool = pool_,
                .doorbells = vm_,
                .slots = vm_,
                .control = *this,
                .irqs = IrqAllocator([this](uint32_t gsi) {
                  return ioapic_ ? IrqLine(*ioapic_, gsi) : vm_.connect_irq(gsi);
                }),
                .log = config_.log} {
  if (snapshot_ && snapshot_->shape() != SnapshotShape{config_.memory.size, config_.vcpus})
    throw ConfigError(fmt::format("the snapshot is of a machine with {} MiB of memory and {} vCPUs",
                                  snapshot_->shape().memory / MiB, snapshot_->shape().vcpus));
  map_memory();  // first: after the interrupt controllers KVM takes milliseconds for it
  create_irqchip(vm_);
  if (!has_pc_irqchip())
    ioapic_.emplace(
        platform_.mmio,
        [this](MsiMessage message) { vm_.signal_msi(message.address, message.data); },
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
  for (const auto& region : memory_.regions()) vm_.add_memory(region.start, region.bytes);
  if (kvm_.check_extension(KVM_CAP_READONLY_MEM) > 0)
    vm_.add_read_only_memory(platform_.register_pages.start(), platform_.register_pages.memory());
}

// With its CPUID, on which KVM makes depend what other state there is.
KvmVcpu Machine::create_vcpu(KvmVm& vm, uint32_t id) const {
  KvmVcpu vcpu = vm.create_vcpu(id);
  vcpu.set_cpuid(
      guest_cpuid(cpuid_, {.vcpu = id,
                           .vcpus = config_.vcpus,
                           .tsc_deadline = kvm_.check_extension(KVM_CAP_TSC_DEADLINE_TIMER) > 0,
                           .tsc_khz = vcpu.tsc_khz().value_or(0)}));
  return vcpu;
}

void Machine::create_vcpus() {
  VcpuEvents& events = *this;
  for (uint32_t id = 0; id < config_.vcpus; ++id)
    vcpus_.push_back(
        std::make_unique<Vcpu>(id, create_vcpu(vm_, id), platform_.mmio, platform_.pio, events));
}

EventLoop& Machine::add_loop() {
  expect(Phase::created, "loops are added before start()");
  return io_threads_.emplace_back(std::make_unique<IoThread>())->loop;
}

void Machine::place(std::unique_ptr<Device> device, EventLoop& home) {
  expect(Phase::created, "devices are added before start()");
  check_name(device->name());
  devices_.push_back({std::move(device), &home});
}

void Machine::place_service(std::unique_ptr<Service> service, EventLoop& home) {
  expect(Phase::created, "services are added before start()");
  services_.push_back({std::move(service), &home});
}

// Names are those of the sections of a snapshot.
void Machine::check_name(const std::string& name) const {
  const auto has_name = [&](const Placed<Device>& other) { return other.part->name() == name; };
  const bool taken = std::any_of(devices_.begin(), devices_.end(), has_name);
  if (taken || name == "platform" || name == "vm" || name == "ioapic" || name.starts_with("vcpu"))
    throw ConfigError(fmt::format("the name '{}' is taken: call the device otherwise", name));
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
  // While nobody runs the loops: on their threads they would wait for those to come up.
  for_each_loop([this](EventLoop& loop) { start_devices(loop); });
  for_each_loop([this](EventLoop& loop) { start_services(loop); });
  phase_ = Phase::running;
  start_threads();
  resume_vcpus();
}

void Machine::start_threads() {
  for_each_loop([this](EventLoop& loop) {
    loop.on_failure([this](const std::string& what) { host_error(what); });
  });
  const auto run = [](EventLoop& loop, size_t number) {
    ::pthread_setname_np(::pthread_self(), fmt::format("io-{}", number).c_str());
    loop.run();
  };
  io_thread_ = std::thread([this, run] { run(loop_, 0); });
  for (size_t i = 0; i < io_threads_.size(); ++i)
    io_threads_[i]->thread =
        std::thread([run, i, &loop = io_threads_[i]->loop] { run(loop, i + 1); });
  for (auto& vcpu : vcpus_) vcpu->start();
}

// A vCPU that is in a call to a loop gets its answer; the loops end after it.
void Machine::end_threads() {
  for (auto& vcpu : vcpus_) vcpu->request_stop();
  for (auto& vcpu : vcpus_) vcpu->stop();
  if (!io_thread_.joinable()) return;
  for_each_loop([](EventLoop& loop) { loop.stop(); });
  io_thread_.join();
  for (const auto& io_thread : io_threads_)
    if (io_thread->thread.joinable()) io_thread->thread.join();
}

void Machine::power_on() {
  if (!boot_) throw ConfigError("the machine has nothing to start: give it a kernel");
  const EntryState entry = load(
      *boot_,
      {.memory = memory_, .vcpus = config_.vcpus, .names = platform_.acpi, .log = config_.log});
  enter_at(vcpus_.front()->kvm(), entry);
}

void Machine::restore() {
  const auto platform = saved_.take<PlatformState>("platform");
  const PlatformState own = platform_of(platform_.acpi, first_cpuid());
  if (platform.tables != own.tables)
    throw ConfigError("the snapshot is of a machine with other devices, or in another order");
  if (platform.processor != own.processor)
    throw ConfigError(
        "the snapshot is of a machine on another kind of processor: restore it on a host like its "
        "own");
  const auto vm = saved_.take<VmState>("vm");
  std::vector<VcpuState> states;
  for (const auto& vcpu : vcpus_) states.push_back(saved_.take<VcpuState>(vcpu_name(vcpu->id())));
  saved_.check_all_taken();
  snapshot_->load_memory(memory_);
  restore_vcpus(states);
  restore_vm(vm_, vm);
  for (auto& vcpu : vcpus_) vcpu->kvm().tell_paused();
}

void Machine::restore_vcpus(const std::vector<VcpuState>& states) {
  const StateShape shape = state_shape();
  leave_tsc(vcpus_.front()->kvm(), states.front());
  for (size_t i = 0; i < vcpus_.size(); ++i)
    restore_vcpu(vcpus_[i]->kvm(), states[i], shape, config_.log);
}

template <class Part>
std::vector<Part*> Machine::at_home(const std::vector<Placed<Part>>& parts, const EventLoop& home) {
  std::vector<Part*> found;
  for (const Placed<Part>& placed : parts)
    if (placed.home == &home) found.push_back(placed.part.get());
  return found;
}

void Machine::start_devices(EventLoop& home) {
  for (Device* device : at_home(devices_, home)) device->start();
}

void Machine::start_services(EventLoop& home) {
  for (Service* service : at_home(services_, home)) service->start();
}

// Under the mutex: an end that comes now is seen here, or finds the vCPUs running and pauses them.
void Machine::resume_vcpus() {
  const std::lock_guard lock(mutex_);
  if (end_ || reset_asked_ || pause_asked_) return;  // wait() takes over
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

Task<void> Machine::stop_services(EventLoop& home) {
  for (Service* service : at_home(services_, home)) co_await service->stop();
}

Task<void> Machine::close_services(EventLoop& home) {
  co_await stop_services(home);
  for (Service* service : at_home(services_, home)) co_await service->close();
}

Task<void> Machine::stop_devices(EventLoop& home) {
  for (Device* device : at_home(devices_, home)) co_await device->stop();
}

// Also after a start that failed half-way: stopping what never started does nothing.
Task<void> Machine::close_devices(EventLoop& home) {
  co_await stop_devices(home);
  for (Device* device : at_home(devices_, home)) co_await device->close();
}

void Machine::halt() {
  park_vcpus();
  for_each_loop([this](EventLoop& loop) { call(loop, stop_services(loop)); });
  for_each_loop([this](EventLoop& loop) { call(loop, stop_devices(loop)); });
  phase_ = Phase::paused;
}

void Machine::pause() {
  expect(Phase::running, "only a running machine can be paused");
  halt();
  // What is paused can be saved: it is not left in the middle of a reset.
  if (takes_reset()) reset();
}

bool Machine::takes_reset() {
  const std::lock_guard lock(mutex_);
  return std::exchange(reset_asked_, false) && !end_;
}

bool Machine::is_interrupted() {
  const std::lock_guard lock(mutex_);
  return reset_asked_ || pause_asked_;
}

bool Machine::takes_resume() {
  const std::lock_guard lock(mutex_);
  return std::exchange(resume_asked_, false);
}

std::optional<std::string> Machine::takes_pause() {
  const std::lock_guard lock(mutex_);
  return std::exchange(pause_asked_, std::nullopt);
}

void Machine::resume() {
  expect(Phase::paused, "only a paused machine can be resumed");
  takes_resume();
  takes_pause();  // before the devices go on, and may ask again
  for_each_loop([this](EventLoop& loop) { call(loop, [&] { start_devices(loop); }); });
  for_each_loop([this](EventLoop& loop) { call(loop, [&] { start_services(loop); }); });
  for (auto& vcpu : vcpus_) vcpu->kvm().tell_paused();
  phase_ = Phase::running;
  resume_vcpus();
}

void Machine::stop() {
  if (phase_ == Phase::stopped) return;
  end_threads();
  for_each_loop([this](EventLoop& loop) { block_on(loop, close_services(loop)); });
  for_each_loop([this](EventLoop& loop) { block_on(loop, close_devices(loop)); });
  phase_ = Phase::stopped;
  finish({.reason = End::Reason::stopped});
}

StateShape Machine::state_shape() const {
  return {kvm_.saved_msrs(),
          static_cast<size_t>(std::max(vm_.check_extension(KVM_CAP_XSAVE2), 4096))};
}

// Without the frequency of the TSC, which restore_vcpu() sees to.
CpuidTable Machine::first_cpuid() const {
  const bool tsc_deadline = kvm_.check_extension(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
  return guest_cpuid(kvm_.supported_cpuid(),
                     {.vcpus = config_.vcpus, .tsc_deadline = tsc_deadline});
}

bool Machine::has_ended() {
  const std::lock_guard lock(mutex_);
  return end_.has_value();
}

void Machine::save(const std::string& directory) {
  expect(Phase::paused, "only a paused machine can be saved");
  if (has_ended()) throw ConfigError("the machine has ended: there is nothing to save");
  const StateShape shape = state_shape();
  StateWriter writer;
  writer.put("platform", platform_of(platform_.acpi, first_cpuid()));
  for (auto& vcpu : vcpus_) writer.put(vcpu_name(vcpu->id()), save_vcpu(vcpu->kvm(), shape));
  writer.put("vm", save_vm(vm_, has_pc_irqchip()));
  if (ioapic_) writer.put("ioapic", ioapic_->save());
  for_each_loop([&](EventLoop& loop) {
    call(loop, [&] {
      for (const Device* device : at_home(devices_, loop)) device->save(writer);
    });
  });
  Snapshot::save(directory, {memory_.size(), config_.vcpus}, writer.take(), memory_);
}

// A reset is the state of a machine that never ran, which KVM itself gives us: from a VM made for
// the purpose, so that an ordinary start pays nothing for it.
void Machine::reset() try {
  for_each_loop([this](EventLoop& loop) {
    call(loop, [&] {
      for (Device* device : at_home(devices_, loop)) device->reset();
    });
  });
  KvmVm fresh = kvm_.create_vm();
  create_irqchip(fresh);
  std::vector<VcpuState> states;
  for (auto& vcpu : vcpus_)
    states.push_back(save_vcpu(create_vcpu(fresh, vcpu->id()), state_shape()));
  restore_vcpus(states);
  restore_vm(vm_, save_vm(fresh, has_pc_irqchip()));
  if (ioapic_) ioapic_->reset();
  memory_.clear();
  power_on();
} catch (const std::exception& error) {
  host_error("cannot start the guest again: " + describe(error));
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

void Machine::request_pause(std::string why) {
  {
    const std::lock_guard lock(mutex_);
    if (!pause_asked_) pause_asked_ = std::move(why);
  }
  request_pause_all();
  event_.notify_all();
}

void Machine::request_resume() {
  {
    const std::lock_guard lock(mutex_);
    resume_asked_ = true;
  }
  event_.notify_all();
}

void Machine::on_pause(std::function<void(const std::string& why)> listener) {
  on_pause_ = std::move(listener);
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
  const auto happened = [this] { return end_ || reset_asked_ || pause_asked_ || resume_asked_; };
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

// Carries out what happened: the end, for which everything stops, a pause, a resume or a reboot.
std::optional<End> Machine::settle() {
  std::optional<End> end;
  {
    const std::lock_guard lock(mutex_);
    end = end_;
  }
  if (end)
    stop();
  else
    settle_requests();
  return end;
}

void Machine::settle_requests() {
  const bool resume_asked = takes_resume();
  const bool was_running = phase_ == Phase::running;
  if (was_running && !is_interrupted()) return;  // and does not need to be resumed
  if (was_running) pause();
  if (takes_reset()) reset();
  if (const auto why = takes_pause()) {
    if (on_pause_) on_pause_(*why);
  } else if (was_running || resume_asked) {
    resume();
  }
}

uint64_t Machine::exits() const noexcept {
  uint64_t sum = 0;
  for (const auto& vcpu : vcpus_) sum += vcpu->exits();
  return sum;
}

}  // namespace vireo
