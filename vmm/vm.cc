#include "vmm/vm.h"

#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/identity.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

using Kind = ControlQueue::Kind;

VmConfig checked(VmConfig config) {
  if (config.vcpus < 1 || config.vcpus > kMaxVcpus)
    throw ConfigError(fmt::format("a machine has 1 to {} vCPUs, not {}", kMaxVcpus, config.vcpus));
  return config;
}

std::optional<Snapshot> checked(std::optional<Snapshot> snapshot, const VmConfig& config) {
  if (snapshot && snapshot->shape() != SnapshotShape{config.memory.size, config.vcpus})
    throw ConfigError(fmt::format("the snapshot is of a machine with {} MiB of memory and {} vCPUs",
                                  snapshot->shape().memory / MiB, snapshot->shape().vcpus));
  return snapshot;
}

}  // namespace

// --- building ---

Vm::Vm(VmConfig config) : Vm(std::move(config), std::nullopt) {}

Vm::Vm(VmConfig config, Snapshot snapshot)
    : Vm(std::move(config), std::optional<Snapshot>(std::move(snapshot))) {}

Vm::Vm(VmConfig config, std::optional<Snapshot> snapshot)
    : config_(checked(std::move(config))),
      snapshot_(checked(std::move(snapshot), config_)),
      saved_(snapshot_ ? snapshot_->take_sections() : StateSections{}),
      kvm_(Kvm::open(config_.kvm_device)),
      vm_(kvm_.create_vm()),
      memory_(config_.memory),
      pool_(config_.workers),
      platform_{.memory = memory_,
                .pool = pool_,
                .doorbells = vm_,
                .slots = vm_,
                .control = *this,
                .irqs = IrqAllocator([this](uint32_t gsi) { return board_.connect(gsi); }),
                .log = config_.log},
      board_(kvm_, vm_, platform_, {config_.vcpus, config_.irqchip}, *this, saved_) {}

Vm::~Vm() {
  stop();
}

void Vm::expect(Phase phase, const char* what) const {
  if (phase_ != phase) throw std::logic_error(what);
}

void Vm::expect_loops() const {
  if (phase_ != Phase::running && phase_ != Phase::paused)
    throw std::logic_error("only a machine that was started and has not ended can be changed");
}

EventLoop& Vm::add_loop() {
  expect(Phase::created, "loops are added before start()");
  return io_.add();
}

void Vm::place(std::unique_ptr<Device> device, EventLoop& home) {
  expect(Phase::created, "devices are added before start()");
  check_name(device->name());
  devices_.add(std::move(device), home);
}

void Vm::place_service(std::unique_ptr<Service> service, EventLoop& home) {
  expect(Phase::created, "services are added before start()");
  services_.add(std::move(service), home);
}

// Names are those of the sections of a snapshot.
void Vm::check_name(const std::string& name) const {
  const bool taken = devices_.any_of([&](const Device& other) { return other.name() == name; });
  if (taken || name == "platform" || name == "vm" || name == "ioapic" || name.starts_with("vcpu"))
    throw ConfigError(fmt::format("the name '{}' is taken: call the device otherwise", name));
}

// --- life ---

// Devices and services are started while nobody runs the loops: on their threads they would wait
// for those to come up.
void Vm::start() {
  expect(Phase::created, "a machine starts once");
  if (snapshot_)
    restore();
  else
    power_on();
  devices_.start();
  services_.start();
  phase_ = Phase::running;
  io_.start([this](const std::string& what) { host_error(what); });
  board_.start();
  requests_.unless_urgent([this] { board_.resume(); });
}

void Vm::pause() {
  expect(Phase::running, "only a running machine can be paused");
  halt();
  // What is paused can be saved: it is not left in the middle of a reset.
  if (requests_.withdraw(Kind::reset)) reset();
}

void Vm::halt() {
  board_.park();
  services_.stop();
  devices_.stop();
  phase_ = Phase::paused;
}

void Vm::resume() {
  expect(Phase::paused, "only a paused machine can be resumed");
  requests_.withdraw(Kind::resume);
  requests_.withdraw(Kind::pause);  // before the devices go on, and may ask again
  go_on();
}

// The vCPUs stay where they are when an end, a reset or a pause waits: wait() takes over.
void Vm::go_on() {
  devices_.start();
  services_.start();
  board_.tell_paused();
  phase_ = Phase::running;
  requests_.unless_urgent([this] { board_.resume(); });
}

// A vCPU that is in a call to a loop gets its answer; the loops end after it.
void Vm::stop() {
  if (phase_ == Phase::stopped) return;
  board_.stop();
  io_.end();
  services_.close();
  devices_.close();
  phase_ = Phase::stopped;
  finish({.reason = End::Reason::stopped});
}

// --- state ---

void Vm::power_on() {
  if (!boot_) throw ConfigError("the machine has nothing to start: give it a kernel or a firmware");
  const auto entry = load(
      *boot_,
      {.memory = memory_, .vcpus = config_.vcpus, .names = platform_.acpi, .log = config_.log});
  if (entry) board_.enter(*entry);
}

void Vm::save(const std::string& directory) {
  expect(Phase::paused, "only a paused machine can be saved");
  if (requests_.has_ended()) throw ConfigError("the machine has ended: there is nothing to save");
  StateWriter writer;
  writer.put("platform", identity_of(platform_.acpi, board_.cpuid()));
  board_.save(writer);
  devices_.for_each([&](const Device& device) { device.save(writer); });
  Snapshot::save(directory, {memory_.size(), config_.vcpus}, writer.take(), memory_);
}

void Vm::restore() {
  check_identity(saved_.take<MachineIdentity>("platform"),
                 identity_of(platform_.acpi, board_.cpuid()));
  const Board::State board = board_.take(saved_);
  saved_.check_all_taken();
  snapshot_->load_memory(memory_);
  board_.restore(board);
  board_.tell_paused();
}

// The state of a machine that never ran.
void Vm::reset() try {
  devices_.for_each([](Device& device) { device.reset(); });
  board_.reset();
  memory_.clear();
  power_on();
} catch (const std::exception& error) {
  host_error("cannot start the guest again: " + describe(error));
}

// --- what is asked of the control thread ---

void Vm::finish(End end) {
  requests_.post_last([this, end = std::move(end)] {
    end_ = end;
    stop();
  });
}

void Vm::vcpu_shut_down(uint32_t id, const std::string& cause) {
  if (!config_.reset_on_triple_fault) return vcpu_crashed(id, cause);
  config_.log.guest_noise("machine", "the guest is reset: " + cause);
  guest_reset();
}

void Vm::vcpu_crashed(uint32_t, const std::string& cause) {
  finish({.reason = End::Reason::crash, .detail = cause});
}

void Vm::vcpu_failed(uint32_t, const std::string& cause) {
  host_error(cause);
}

void Vm::guest_power_off() {
  finish({.reason = End::Reason::power_off});
}

void Vm::guest_debug_exit(uint32_t value) {
  finish({.reason = End::Reason::debug_exit, .value = value});
}

void Vm::host_error(const std::string& what) {
  finish({.reason = End::Reason::host_error, .detail = what});
}

void Vm::guest_reset() {
  if (!config_.reboot || !boot_) return finish({.reason = End::Reason::reset});
  requests_.post_urgent(Kind::reset, [this] { restart(); });
}

// The machine that was paused stays so.
void Vm::restart() {
  const bool was_running = phase_ == Phase::running;
  if (was_running) halt();
  requests_.withdraw(Kind::reset);  // of another vCPU, meanwhile
  reset();
  if (was_running) go_on();
}

void Vm::request_stop() {
  finish({.reason = End::Reason::stopped});
}

void Vm::request_pause(std::string why) {
  requests_.post_urgent(Kind::pause, [this, why = std::move(why)] { pause_because(why); });
}

void Vm::pause_because(const std::string& why) {
  if (phase_ == Phase::running) pause();
  if (on_pause_) on_pause_(why);
}

void Vm::request_resume() {
  requests_.post(Kind::resume, [this] {
    if (phase_ == Phase::paused) resume();
  });
}

void Vm::on_pause(std::function<void(const std::string& why)> listener) {
  on_pause_ = std::move(listener);
}

// --- waiting ---

// False: nothing was asked by the deadline.
bool Vm::settle_one(ControlQueue::Deadline deadline) {
  const auto request = requests_.take(deadline);
  if (request) request();
  return static_cast<bool>(request);
}

void Vm::expect_started() const {
  if (phase_ == Phase::created)
    throw std::logic_error("a machine is started before it is waited for");
}

End Vm::wait() {
  expect_started();
  while (!end_) settle_one(std::nullopt);
  return *end_;
}

std::optional<End> Vm::wait_until(std::chrono::steady_clock::time_point deadline) {
  expect_started();
  while (!end_ && settle_one(deadline)) {
  }
  return end_;
}

uint64_t Vm::exits() const noexcept {
  return board_.exits();
}

}  // namespace vireo
