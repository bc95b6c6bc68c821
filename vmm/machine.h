// A virtual machine: memory, vCPUs, I/O loops, devices, and their life together.
//
//   Machine vm{{.memory = {.size = 512 * MiB}, .vcpus = 2}};
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
// told by End.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"
#include "vmm/base/state.h"
#include "vmm/base/worker_pool.h"
#include "vmm/boot/source.h"
#include "vmm/bus.h"
#include "vmm/cpu/state.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/device.h"
#include "vmm/ioapic.h"
#include "vmm/kvm/kvm.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/service.h"
#include "vmm/snapshot.h"

namespace vireo {

inline constexpr uint32_t kMaxVcpus = 64;

struct MachineConfig {
  MemoryConfig memory{};
  uint32_t vcpus = 1;  // 1..kMaxVcpus
  // apic: local APICs and an I/O APIC, all that Linux needs. pc: the 8259 PICs and the 8254 timer,
  // too, for kernels that cannot do without; costs some tens of milliseconds at start and end.
  enum class Irqchip : uint8_t { apic, pc };
  Irqchip irqchip = Irqchip::apic;
  bool reboot = true;  // a guest's reset starts it again; false: it ends the machine
  std::string kvm_device = "/dev/kvm";
  size_t workers = WorkerPool::kThreads;  // for blocking host calls, started when needed
  Logger log{};
};

// How a machine came to its end.
struct End {
  enum class Reason : uint8_t {
    power_off,   // the guest switched itself off
    reset,       // the guest asked for a reset and reboot is false
    debug_exit,  // the guest wrote `value` to the debug-exit port
    crash,       // triple fault, or a guest that KVM cannot go on with; `detail` has the registers
    stopped,     // request_stop() or stop()
    host_error,  // the host failed us; `detail` says how
  };
  Reason reason = Reason::stopped;
  uint32_t value = 0;
  std::string detail{};
};

class Machine final : private VcpuEvents, private MachineControl {
 public:
  explicit Machine(MachineConfig config);
  // The same machine as it was saved: build it with the same devices in the same order, without
  // boot(), and start() goes on where it stood.
  Machine(MachineConfig config, Snapshot snapshot);
  ~Machine() override;  // stops it first, if need be

  // What the guest starts with, read by start() and again at each reboot.
  void boot(LinuxBoot kernel) { boot_.emplace(std::move(kernel)); }

  // Builds a device from its saved state, or from the power-on state. `home` is one of the
  // machine's loops. Throws ConfigError when the device's name is taken.
  template <class D, class... Args>
  D& add(const std::string& name, Args&&... args) {
    return add_at<D>(loop_, name, std::forward<Args>(args)...);
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
    return adopt(std::move(device), loop_);
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

  void start();
  void pause();
  void resume();
  void stop();  // ends it now; wait() then says `stopped` unless it had ended by itself
  void save(const std::string& directory);  // only paused; the directory must not exist yet

  End wait();
  // Nothing when the machine still runs at the deadline.
  std::optional<End> wait_until(std::chrono::steady_clock::time_point deadline);

  // Any thread; the machine outlives the call. A request to pause that comes before a resume() is
  // settled by it; one to resume a machine that runs does nothing.
  void request_stop();
  void request_pause(std::string why);
  void request_resume();
  // Called on the control thread, by wait(), when the machine was paused as somebody requested.
  void on_pause(std::function<void(const std::string& why)> listener);

  const MachineConfig& config() const noexcept { return config_; }
  uint64_t exits() const noexcept;  // exits to user space so far, of all vCPUs

 private:
  enum class Phase : uint8_t { created, running, paused, stopped };
  struct IoThread {
    EventLoop loop;
    std::thread thread;
  };
  template <class Part>  // a device or a service
  struct Placed {
    std::unique_ptr<Part> part;
    EventLoop* home;
  };

  Machine(MachineConfig config, std::optional<Snapshot> snapshot);

  void vcpu_crashed(uint32_t id, const std::string& cause) override;
  void vcpu_failed(uint32_t id, const std::string& cause) override;
  void guest_power_off() override;
  void guest_reset() override;
  void guest_debug_exit(uint32_t value) override;
  void host_error(const std::string& what) override;
  void finish(End end);
  void request_pause_all() noexcept;

  void map_memory();
  void create_irqchip(KvmVm& vm) const;
  bool has_pc_irqchip() const noexcept { return config_.irqchip == MachineConfig::Irqchip::pc; }
  KvmVcpu create_vcpu(KvmVm& vm, uint32_t id) const;
  void create_vcpus();
  void power_on();
  void restore();
  void restore_vcpus(const std::vector<VcpuState>& states);
  void reset();  // paused
  bool is_interrupted();
  bool takes_reset();
  bool takes_resume();
  std::optional<std::string> takes_pause();
  StateShape state_shape() const;
  void halt();
  void park_vcpus();
  void resume_vcpus();
  void start_threads();
  void end_threads();
  // Calls step(loop) for each loop, in the order of their creation.
  template <class Step>
  void for_each_loop(Step step) {
    step(loop_);
    for (const auto& io_thread : io_threads_) step(io_thread->loop);
  }
  // Those at home on one loop, in the order of their creation.
  template <class Part>
  static std::vector<Part*> at_home(const std::vector<Placed<Part>>& parts, const EventLoop& home);
  void start_devices(EventLoop& home);
  Task<void> stop_devices(EventLoop& home);
  Task<void> close_devices(EventLoop& home);
  void start_services(EventLoop& home);
  Task<void> stop_services(EventLoop& home);
  Task<void> close_services(EventLoop& home);
  void place(std::unique_ptr<Device> device, EventLoop& home);
  void place_service(std::unique_ptr<Service> service, EventLoop& home);
  void check_name(const std::string& name) const;
  void expect(Phase phase, const char* what) const;
  CpuidTable first_cpuid() const;
  bool has_ended();
  std::optional<End> settle();
  void settle_requests();
  bool wait_for_event(std::optional<std::chrono::steady_clock::time_point> deadline);

  // Declared in the order of dependency: later members use earlier ones and are destroyed first.
  MachineConfig config_;
  std::optional<Snapshot> snapshot_;
  StateReader saved_;
  Kvm kvm_;
  CpuidTable cpuid_;  // what KVM supports
  KvmVm vm_;
  GuestMemory memory_;
  EventLoop loop_;
  std::vector<std::unique_ptr<IoThread>> io_threads_;  // of add_loop()
  WorkerPool pool_;
  Platform platform_;
  std::optional<IoApic> ioapic_;  // unless KVM has it
  DeviceEnv env_{platform_, loop_};
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::vector<Placed<Device>> devices_;
  std::vector<Placed<Service>> services_;
  std::optional<BootSource> boot_;
  Phase phase_ = Phase::created;
  std::thread io_thread_;  // runs loop_
  std::function<void(const std::string&)> on_pause_;

  std::mutex mutex_;
  std::condition_variable event_;
  std::optional<End> end_;    // guarded by mutex_, the first one counts
  bool reset_asked_ = false;  // guarded by mutex_, as the two below
  bool resume_asked_ = false;
  std::optional<std::string> pause_asked_;  // why; the first one counts
};

}  // namespace vireo
