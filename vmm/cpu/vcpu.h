// A vCPU: a thread that runs the guest and carries out its exits on the buses.
//
//   start() -> parked --resume()--> running --pause()--> parked --stop()--> gone
//
// Thread: start, resume, pause and stop belong to the control thread; the VcpuEvents are called on
// the vCPU's own thread and must not wait for it. The vCPU's registers may be touched only while it
// is parked. Kicking uses one real-time signal, which stays blocked in the vCPU's thread except
// inside KVM_RUN: no handler is installed and nothing of the process is changed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "vmm/bus.h"
#include "vmm/cpu/retry_limit.h"
#include "vmm/kvm/kvm.h"

namespace vireo {

class VcpuEvents {
 public:
  virtual ~VcpuEvents() = default;
  // The guest cannot go on: the cause, and the registers. The vCPU parks itself. The first is a
  // triple fault, at which a PC resets (SDM volume 3, 6.15, "Interrupt 8").
  virtual void vcpu_shut_down(uint32_t id, const std::string& cause) = 0;
  virtual void vcpu_crashed(uint32_t id, const std::string& cause) = 0;
  // The host cannot run it.
  virtual void vcpu_failed(uint32_t id, const std::string& cause) = 0;
  // The guest has ended an interrupt of this vector, of those that LocalApics::report_ends_of()
  // names.
  virtual void end_of_interrupt(uint8_t vector) = 0;
};

class Vcpu {
 public:
  Vcpu(uint32_t id, KvmVcpu kvm, const Bus& mmio, const Bus& pio, VcpuEvents& events);
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;
  ~Vcpu();  // stopped, or never started

  uint32_t id() const noexcept { return id_; }
  KvmVcpu& kvm() noexcept { return kvm_; }  // only while parked
  uint64_t exits() const noexcept { return exits_; }

  // Makes the thread, parked. All vCPUs of a machine are started before the first is resumed: they
  // kick each other.
  void start();
  void resume();
  // Out of the guest, with its last I/O instruction completed. Two steps, so that all vCPUs of a
  // machine leave at the same time.
  void request_pause() noexcept;  // any thread
  void wait_parked();
  // Out of the guest for good, in two steps likewise. What the guest was doing is not completed.
  void request_stop() noexcept;
  void stop();  // ends its thread; idempotent

 private:
  enum class Order : uint8_t { park, run, quit };

  void serve();
  void run_until_ordered();
  void run_once();
  void try_again();
  void handle_exit();
  void handle_io();
  void handle_mmio();
  void complete_io();
  void shut_down();
  void crash(const std::string& cause);
  std::string with_registers(const std::string& cause) const;
  void fail(const std::string& cause);
  void kick() noexcept;
  void consume_kicks() const noexcept;

  const uint32_t id_;
  KvmVcpu kvm_;
  const Bus& mmio_;
  const Bus& pio_;
  VcpuEvents& events_;

  std::atomic<Order> order_ = Order::park;
  std::atomic<uint64_t> exits_ = 0;
  // vCPU thread only:
  bool ended_ = false;  // crashed or failed, not to be entered again until resume()
  RetryLimit retries_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool parked_ = true;  // guarded by mutex_
  std::thread thread_;  // last: uses all of the above
};

// Registers in a form for people, for crash messages.
std::string describe_registers(const KvmVcpu& vcpu);

}  // namespace vireo
