#include "vmm/cpu/vcpu.h"

#include <pthread.h>
#include <sched.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <system_error>

#include <fmt/format.h>

#include "vmm/base/error.h"

namespace vireo {

namespace {

int kick_signal() {
  return SIGRTMIN + 6;
}

sigset_t kick_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kick_signal());
  return set;
}

// For messages; whatever state the VM is in, the cause is told.
std::string registers_of(const KvmVcpu& vcpu) noexcept {
  try {
    return describe_registers(vcpu);
  } catch (const std::exception& error) {
    return fmt::format("(no registers: {})", error.what());
  }
}

// Blocks signals while a thread is made, so that it starts that way and the process's own signals
// never land on a vCPU. Not those of a crash on the thread itself: the kernel would kill the
// process without a word to the handler that it has for them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t most;
    sigfillset(&most);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT})
      sigdelset(&most, fault);
    ::pthread_sigmask(SIG_SETMASK, &most, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// With SVM, KVM answers a shutdown by an INIT of the vCPU before it tells of it
// (Linux, arch/x86/kvm/svm/svm.c, shutdown_interception()).
constexpr const char* kTripleFaultAndInit =
    "triple fault (KVM has since put the vCPU into its state after INIT: the registers below are "
    "not those of the fault)";

// SDM volume 3, table 10-1.
bool is_after_init(const KvmVcpu& vcpu) noexcept try {
  const auto regs = vcpu.get<kvm_regs>(KVM_GET_REGS, "KVM_GET_REGS");
  const auto sregs = vcpu.get<kvm_sregs>(KVM_GET_SREGS, "KVM_GET_SREGS");
  return regs.rip == 0xfff0 && sregs.cs.selector == 0xf000 && sregs.cs.base == 0xffff0000;
} catch (const std::exception&) {
  return false;
}

std::string describe_segment(const char* name, const kvm_segment& segment) {
  return fmt::format("{}={:04x} base {:x} limit {:x}{}{}", name, segment.selector, segment.base,
                     segment.limit, segment.l ? " 64-bit" : "", segment.db ? " 32-bit" : "");
}

const char* internal_error_name(uint32_t suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return "an instruction it cannot emulate";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "two exceptions at once";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "an exit while an event was being delivered";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
      return "an unexpected exit reason";
    default:
      return "an unknown internal error";
  }
}

}  // namespace

std::string describe_registers(const KvmVcpu& vcpu) {
  const auto r = vcpu.get<kvm_regs>(KVM_GET_REGS, "KVM_GET_REGS");
  const auto s = vcpu.get<kvm_sregs>(KVM_GET_SREGS, "KVM_GET_SREGS");
  return fmt::format(
      "rip={:016x} rsp={:016x} rflags={:08x}\n"
      "rax={:016x} rbx={:016x} rcx={:016x} rdx={:016x}\n"
      "rsi={:016x} rdi={:016x} rbp={:016x} r8 ={:016x}\n"
      "r9 ={:016x} r10={:016x} r11={:016x} r12={:016x}\n"
      "r13={:016x} r14={:016x} r15={:016x}\n"
      "cr0={:x} cr2={:x} cr3={:x} cr4={:x} efer={:x}\n"
      "{}\n{}\ngdt={:x}+{:x} idt={:x}+{:x}",
      r.rip, r.rsp, r.rflags, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.r8, r.r9, r.r10,
      r.r11, r.r12, r.r13, r.r14, r.r15, s.cr0, s.cr2, s.cr3, s.cr4, s.efer,
      describe_segment("cs", s.cs), describe_segment("ss", s.ss), s.gdt.base, s.gdt.limit,
      s.idt.base, s.idt.limit);
}

Vcpu::Vcpu(uint32_t id, KvmVcpu kvm, const Bus& mmio, const Bus& pio, VcpuEvents& events)
    : id_(id), kvm_(std::move(kvm)), mmio_(mmio), pio_(pio), events_(events) {}

Vcpu::~Vcpu() {
  stop();
}

void Vcpu::start() {
  const sigset_t kick = kick_set();
  uint64_t kicks = 0;
  static_assert(sizeof kicks <= sizeof kick);
  std::memcpy(&kicks, &kick, sizeof kicks);
  kvm_.set_signal_mask(~kicks);
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { serve(); });
}

void Vcpu::resume() {
  {
    const std::lock_guard lock(mutex_);
    parked_ = false;
    order_ = Order::run;
  }
  changed_.notify_all();
}

// Under the mutex, so that the thread to kick cannot end meanwhile: request_stop() makes the order
// `quit` first, which nobody replaces.
void Vcpu::request_pause() noexcept {
  const std::lock_guard lock(mutex_);
  Order running = Order::run;
  if (order_.compare_exchange_strong(running, Order::park)) kick();
}

void Vcpu::wait_parked() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return parked_; });
}

void Vcpu::request_stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    order_ = Order::quit;
  }
  changed_.notify_all();
  kick();
}

void Vcpu::stop() {
  if (!thread_.joinable()) return;
  request_stop();
  thread_.join();
}

// Not itself: a vCPU that handles an exit looks at its orders before it enters the guest again.
void Vcpu::kick() noexcept {
  if (thread_.joinable() && thread_.get_id() != std::this_thread::get_id())
    ::pthread_kill(thread_.native_handle(), kick_signal());
}

// A kick stays pending until it is taken here; left pending it would end every KVM_RUN at once.
void Vcpu::consume_kicks() const noexcept {
  const sigset_t set = kick_set();
  const timespec now{};
  while (::sigtimedwait(&set, nullptr, &now) > 0) {
  }
}

void Vcpu::serve() {
  ::pthread_setname_np(::pthread_self(), fmt::format("vcpu-{}", id_).c_str());
  while (true) {
    {
      std::unique_lock lock(mutex_);
      // A resume() that was taken back at once is answered, too.
      changed_.wait(lock, [this] { return order_ != Order::park || !parked_; });
      if (order_ == Order::quit) break;
    }
    run_until_ordered();
    {
      const std::lock_guard lock(mutex_);
      parked_ = true;
    }
    changed_.notify_all();
  }
  const std::lock_guard lock(mutex_);
  parked_ = true;
  changed_.notify_all();
}

void Vcpu::run_until_ordered() {
  ended_ = false;
  while (order_ == Order::run && !ended_) run_once();
  if (ended_) {
    Order running = Order::run;
    order_.compare_exchange_strong(running, Order::park);
  } else if (order_ == Order::park) {
    complete_io();
  }
}

void Vcpu::run_once() {
  const int error = kvm_.run();
  if (error == 0) {
    exits_.fetch_add(1, std::memory_order_relaxed);
    retries_.succeeded();
    handle_exit();
  } else if (error == EINTR) {
    consume_kicks();
  } else if (error == EAGAIN && retries_.may_retry(std::chrono::steady_clock::now())) {
    try_again();
  } else {
    const char* const always = error == EAGAIN ? ", again and again" : "";
    fail(fmt::format("KVM cannot run vCPU {}: {}{}\n{}", id_, std::system_category().message(error),
                     always, registers_of(kvm_)));
  }
}

// Soon at first, for a processor that was only just started; for a page that the host has to find
// it leaves the host's processor to others.
void Vcpu::try_again() {
  constexpr unsigned kSoon = 100;
  if (retries_.tries() <= kSoon)
    ::sched_yield();
  else
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

// What a device or the host did wrong ends the machine, not the process.
void Vcpu::handle_exit() try {
  const kvm_run& run = kvm_.shared();
  switch (run.exit_reason) {
    case KVM_EXIT_IO:
      return handle_io();
    case KVM_EXIT_MMIO:
      return handle_mmio();
    case KVM_EXIT_IOAPIC_EOI:
      return events_.end_of_interrupt(run.eoi.vector);
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return;
    case KVM_EXIT_SHUTDOWN:
      return shut_down();
    case KVM_EXIT_FAIL_ENTRY:
      return crash(fmt::format("the processor refused to enter the guest (hardware reason {:#x})",
                               run.fail_entry.hardware_entry_failure_reason));
    case KVM_EXIT_INTERNAL_ERROR:
      return crash(fmt::format("KVM met {} (internal error {})",
                               internal_error_name(run.internal.suberror), run.internal.suberror));
    case KVM_EXIT_SYSTEM_EVENT:
      return crash(fmt::format("KVM reported system event {}", run.system_event.type));
    case KVM_EXIT_HLT:
      return crash("the guest halted with no interrupt controller to wake it");
    default:
      return crash(fmt::format("unknown KVM exit {}", run.exit_reason));
  }
} catch (const std::exception& error) {
  fail(fmt::format("vCPU {} cannot go on: {}", id_, describe(error)));
}

void Vcpu::handle_io() {
  const auto io = kvm_.shared().io;
  const std::span<std::byte> data =
      kvm_.run_page().subspan(io.data_offset, static_cast<size_t>(io.size) * io.count);
  for (uint32_t i = 0; i < io.count; ++i) {
    const auto element = data.subspan(static_cast<size_t>(i) * io.size, io.size);
    if (io.direction == KVM_EXIT_IO_OUT)
      pio_.write(io.port, element);
    else
      pio_.read(io.port, element);
  }
}

void Vcpu::handle_mmio() {
  auto& mmio = kvm_.shared().mmio;
  const auto data = std::as_writable_bytes(std::span(mmio.data)).first(mmio.len);
  if (mmio.is_write)
    mmio_.write(mmio.phys_addr, data);
  else
    mmio_.read(mmio.phys_addr, data);
}

// The kernel finishes an I/O instruction at the next KVM_RUN: enter once, for that alone, so that
// the registers are true when they are read.
void Vcpu::complete_io() {
  kvm_.shared().immediate_exit = 1;
  while (!ended_ && kvm_.run() == 0) handle_exit();
  kvm_.shared().immediate_exit = 0;
  consume_kicks();
}

void Vcpu::fail(const std::string& cause) {
  ended_ = true;
  events_.vcpu_failed(id_, cause);
}

void Vcpu::shut_down() {
  ended_ = true;
  events_.vcpu_shut_down(
      id_, with_registers(is_after_init(kvm_) ? kTripleFaultAndInit : "triple fault"));
}

void Vcpu::crash(const std::string& cause) {
  ended_ = true;
  events_.vcpu_crashed(id_, with_registers(cause));
}

std::string Vcpu::with_registers(const std::string& cause) const {
  return fmt::format("vCPU {}: {}\n{}", id_, cause, registers_of(kvm_));
}

}  // namespace vireo
