// A virtual machine: memory, vCPUs, I/O loops, devices, and their life together.
//
//   Vm vm{{.memory = {.size = 512 * MiB}, .vcpus = 2}};
//   vm.boot({.kernel = "vmlinuz", .cmdline = "console=ttyS0"});
//   vm.add<dev::Uart>("com1", …);
//   vm.start();
//   const End end = vm.wait();
//
//   created --start()--> running <--pause()/resume()--> paused --stop()/wait()--> stopped
//
// Thread: one owner, the control thread; only the request_…() may be called from elsewhere. Devices
// are built on the control thread while the loops are idle; from start() on each loop runs on a
// thread of its own. A machine uses nothing process-wide: several may live in one process, after
// one another and at once. Reboots that the guest asks for, and what was requested, are carried out
// inside wait() and wait_until().
// Errors: ConfigError and std::system_error until start() has returned; afterwards what happens is
// told by End. A call in a state that does not allow it throws std::logic_error.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "vireo/end.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"
#include "vmm/base/state.h"
#include "vmm/base/worker_pool.h"
#include "vmm/board.h"
#include "vmm/boot/source.h"
#include "vmm/control_queue.h"
#include "vmm/device.h"
#include "vmm/io_threads.h"
#include "vmm/kvm/kvm.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/parts.h"
#include "vmm/service.h"
#include "vmm/snapshot.h"

namespace vireo {

inline constexpr uint32_t kMaxVcpus = 64;

struct VmConfig {
  MemoryConfig memory{};
  uint32_t vcpus = 1;  // 1..kMaxVcpus
  using Irqchip = vireo::Irqchip;
  Irqchip irqchip = Irqchip::apic;
  bool reboot = true;  // a guest's reset starts it again; false: it ends the machine
  bool reset_on_triple_fault = false;  // as a PC does; false: it ends the machine
  std::string kvm_device = "/dev/kvm";
  size_t workers = WorkerPool::kThreads;  // for blocking host calls, started when needed
  Logger log{};
};

class Vm final : private VcpuEvents, private MachineControl {
 public:
  explicit Vm(VmConfig config);
  // The same machine as it was saved: build it with the same devices in the same order, without
  // boot(), and start() goes on where it stood.
  Vm(VmConfig config, Snapshot snapshot);
  ~Vm() override;  // stops it first, if need be

  // What the guest starts with, read by start() and again at each reboot.
  void boot(LinuxBoot kernel) { boot_.emplace(std::move(kernel)); }
  void boot(BootSource source) { boot_.emplace(std::move(source)); }

  // Builds a device from its saved state, or from the power-on state. `home` is one of the
  // machine's loops. Throws ConfigError when the device's name is taken.
  template <class D, class... Args>
  D& add(const std::string& name, Args&&... args) {
    return add_at<D>(io_.first(), name, std::forward<Args>(args)...);
  }
  template <class D, class... Args>
  D& add_at(EventLoop& home, const std::string& name, Args&&... args) {
    DeviceEnv env{platform_, home};
    return adopt(std::make_unique<D>(name, env, std::forward<Args>(args)...,
                                     saved_.take<typename D::State>(name)),
                 home);
  }
  // One that is built already.
  template <class D>
  D& adopt(std::unique_ptr<D> device, EventLoop& home) {
    D& adopted = *device;
    place(std::move(device), home);
    return adopted;
  }
  template <class D>
  D& adopt(std::unique_ptr<D> device) {
    return adopt(std::move(device), io_.first());
  }
  template <class S>
  S& add_service(std::unique_ptr<S> service, EventLoop& home) {
    S& added = *service;
    place_service(std::move(service), home);
    return added;
  }
  DeviceEnv& env() noexcept { return env_; }
  // A further loop, for devices that would keep the others waiting.
  EventLoop& add_loop();
  StateReader& saved() noexcept { return saved_; }
  // Throws std::logic_error unless the loops run on their threads: from start() to the end, also
  // while the machine is paused.
  void expect_loops() const;

  void start();
  void pause();
  void resume();
  void stop();  // ends it now; wait() then says `stopped` unless it had ended by itself
  void save(const std::string& directory);  // only paused; the directory must not exist yet

  End wait();
  // Nothing when the machine still runs at the deadline.
  std::optional<End> wait_until(std::chrono::steady_clock::time_point deadline);

  // Any thread; the machine outlives the call. Requests are carried out in their order: one to
  // resume a machine that runs does nothing. One to pause that comes before a resume() is settled
  // by it.
  void request_stop();
  void request_pause(std::string why);
  void request_resume();
  // Called on the control thread, by wait(), when the machine was paused as somebody requested.
  void on_pause(std::function<void(const std::string& why)> listener);

  const VmConfig& config() const noexcept { return config_; }
  uint64_t exits() const noexcept;  // exits to user space so far, of all vCPUs

 private:
  enum class Phase : uint8_t { created, running, paused, stopped };

  Vm(VmConfig config, std::optional<Snapshot> snapshot);

  void vcpu_shut_down(uint32_t id, const std::string& cause) override;
  void vcpu_crashed(uint32_t id, const std::string& cause) override;
  void vcpu_failed(uint32_t id, const std::string& cause) override;
  void end_of_interrupt(uint8_t vector) override { board_.end_of_interrupt(vector); }
  void guest_power_off() override;
  void guest_reset() override;
  void guest_debug_exit(uint32_t value) override;
  void host_error(const std::string& what) override;
  void finish(End end);

  void expect(Phase phase, const char* what) const;
  void expect_started() const;
  void place(std::unique_ptr<Device> device, EventLoop& home);
  void place_service(std::unique_ptr<Service> service, EventLoop& home);
  void check_name(const std::string& name) const;
  void power_on();
  void restore();
  void go_on();
  void halt();
  void reset();
  void restart();
  void pause_because(const std::string& why);
  bool settle_one(ControlQueue::Deadline deadline);

  // Declared in the order of dependency: later members use earlier ones and are destroyed first.
  VmConfig config_;
  std::optional<Snapshot> snapshot_;
  StateReader saved_;
  Kvm kvm_;
  KvmVm vm_;
  GuestMemory memory_;
  IoThreads io_;
  WorkerPool pool_;
  Platform platform_;
  DeviceEnv env_{platform_, io_.first()};
  Board board_;
  Parts<Device> devices_{io_};
  Parts<Service> services_{io_};
  std::optional<BootSource> boot_;
  Phase phase_ = Phase::created;
  std::function<void(const std::string&)> on_pause_;
  ControlQueue requests_{[this] { board_.request_park(); }};
  std::optional<End> end_;  // the first one
};

}  // namespace vireo
