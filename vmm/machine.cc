#include "vmm/machine.h"

#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/identity.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

using Kind = ControlQueue::Kind;

MachineConfig checked(MachineConfig config) {
  if (config.vcpus < 1 || config.vcpus > kMaxVcpus)
    throw ConfigError(fmt::format("a machine has 1 to {} vCPUs, not {}", kMaxVcpus, config.vcpus));
  return config;
}

std::optional<Snapshot> checked(std::optional<Snapshot> snapshot, const MachineConfig& config) {
  if (snapshot && snapshot->shape() != SnapshotShape{config.memory.size, config.vcpus})
    throw ConfigError(fmt::format("the snapshot is of a machine with {} MiB of memory and {} vCPUs",
                                  snapshot->shape().memory / MiB, snapshot->shape().vcpus));
  return snapshot;
}

}  // namespace

// --- building ---

Machine::Machine(MachineConfig config) : Machine(std::move(config), std::nullopt) {}

Machine::Machine(MachineConfig config, Snapshot snapshot)
    : Machine(std::move(config), std::optional<Snapshot>(std::move(snapshot))) {}

Machine::Machine(MachineConfig config, std::optional<Snapshot> snapshot)
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

Machine::~Machine() {
  stop();
}

void Machine::expect(Phase phase, const char* what) const {
  VMM_CHECK(phase_ == phase, what);
}

EventLoop& Machine::add_loop() {
  expect(Phase::created, "loops are added before start()");
  return io_.add();
}

void Machine::place(std::unique_ptr<Device> device, EventLoop& home) {
  expect(Phase::created, "devices are added before start()");
  check_name(device->name());
  devices_.add(std::move(device), home);
}

void Machine::place_service(std::unique_ptr<Service> service, EventLoop& home) {
  expect(Phase::created, "services are added before start()");
  services_.add(std::move(service), home);
}

// Names are those of the sections of a snapshot.
void Machine::check_name(const std::string& name) const {
  const bool taken = devices_.any_of([&](const Device& other) { return other.name() == name; });
  if (taken || name == "platform" || name == "vm" || name == "ioapic" || name.starts_with("vcpu"))
    throw ConfigError(fmt::format("the name '{}' is taken: call the device otherwise", name));
}

// --- life ---

// Devices and services are started while nobody runs the loops: on their threads they would wait
// for those to come up.
void Machine::start() {
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

void Machine::pause() {
  expect(Phase::running, "only a running machine can be paused");
  halt();
  // What is paused can be saved: it is not left in the middle of a reset.
  if (requests_.withdraw(Kind::reset)) reset();
}

void Machine::halt() {
  board_.park();
  services_.stop();
  devices_.stop();
  phase_ = Phase::paused;
}

void Machine::resume() {
  expect(Phase::paused, "only a paused machine can be resumed");
  requests_.withdraw(Kind::resume);
  requests_.withdraw(Kind::pause);  // before the devices go on, and may ask again
  go_on();
}

// The vCPUs stay where they are when an end, a reset or a pause waits: wait() takes over.
void Machine::go_on() {
  devices_.start();
  services_.start();
  board_.tell_paused();
  phase_ = Phase::running;
  requests_.unless_urgent([this] { board_.resume(); });
}

// A vCPU that is in a call to a loop gets its answer; the loops end after it.
void Machine::stop() {
  if (phase_ == Phase::stopped) return;
  board_.stop();
  io_.end();
  services_.close();
  devices_.close();
  phase_ = Phase::stopped;
  finish({.reason = End::Reason::stopped});
}

// --- state ---

void Machine::power_on() {
  if (!boot_) throw ConfigError("the machine has nothing to start: give it a kernel");
  board_.enter(load(
      *boot_,
      {.memory = memory_, .vcpus = config_.vcpus, .names = platform_.acpi, .log = config_.log}));
}

void Machine::save(const std::string& directory) {
  expect(Phase::paused, "only a paused machine can be saved");
  if (requests_.has_ended()) throw ConfigError("the machine has ended: there is nothing to save");
  StateWriter writer;
  writer.put("platform", identity_of(platform_.acpi, board_.cpuid()));
  board_.save(writer);
  devices_.for_each([&](const Device& device) { device.save(writer); });
  Snapshot::save(directory, {memory_.size(), config_.vcpus}, writer.take(), memory_);
}

void Machine::restore() {
  check_identity(saved_.take<MachineIdentity>("platform"),
                 identity_of(platform_.acpi, board_.cpuid()));
  const Board::State board = board_.take(saved_);
  saved_.check_all_taken();
  snapshot_->load_memory(memory_);
  board_.restore(board);
  board_.tell_paused();
}

// The state of a machine that never ran.
void Machine::reset() try {
  devices_.for_each([](Device& device) { device.reset(); });
  board_.reset();
  memory_.clear();
  power_on();
} catch (const std::exception& error) {
  host_error("cannot start the guest again: " + describe(error));
}

// --- what is asked of the control thread ---

void Machine::finish(End end) {
  requests_.post_last([this, end = std::move(end)] {
    end_ = end;
    stop();
  });
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

void Machine::guest_reset() {
  if (!config_.reboot || !boot_) return finish({.reason = End::Reason::reset});
  requests_.post_urgent(Kind::reset, [this] { restart(); });
}

// The machine that was paused stays so.
void Machine::restart() {
  const bool was_running = phase_ == Phase::running;
  if (was_running) halt();
  requests_.withdraw(Kind::reset);  // of another vCPU, meanwhile
  reset();
  if (was_running) go_on();
}

void Machine::request_stop() {
  finish({.reason = End::Reason::stopped});
}

void Machine::request_pause(std::string why) {
  requests_.post_urgent(Kind::pause, [this, why = std::move(why)] { pause_because(why); });
}

void Machine::pause_because(const std::string& why) {
  if (phase_ == Phase::running) pause();
  if (on_pause_) on_pause_(why);
}

void Machine::request_resume() {
  requests_.post(Kind::resume, [this] {
    if (phase_ == Phase::paused) resume();
  });
}

void Machine::on_pause(std::function<void(const std::string& why)> listener) {
  on_pause_ = std::move(listener);
}

// --- waiting ---

// False: nothing was asked by the deadline.
bool Machine::settle_one(ControlQueue::Deadline deadline) {
  const auto request = requests_.take(deadline);
  if (request) request();
  return static_cast<bool>(request);
}

End Machine::wait() {
  while (!end_) settle_one(std::nullopt);
  return *end_;
}

std::optional<End> Machine::wait_until(std::chrono::steady_clock::time_point deadline) {
  while (!end_ && settle_one(deadline)) {
  }
  return end_;
}

uint64_t Machine::exits() const noexcept {
  return board_.exits();
}

}  // namespace vireo
