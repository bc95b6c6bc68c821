// The KVM API as objects: descriptors owned, ioctls checked, no policy.
//
// Thread: Kvm and KvmVm any; KvmVcpu one thread at a time.
// Errors: std::system_error naming the ioctl; ConfigError from Kvm::open with what to do.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/kvm/doorbell.h"
#include "vmm/kvm/irq.h"
#include "vmm/kvm/memory_slot.h"
#include "vmm/kvm/msi.h"

namespace vireo {

using CpuidTable = std::vector<kvm_cpuid_entry2>;
using MsrTable = std::vector<kvm_msr_entry>;

// One vCPU's descriptor and its shared kvm_run page.
class KvmVcpu {
 public:
  KvmVcpu(UniqueFd fd, size_t run_size);
  KvmVcpu(KvmVcpu&& other) noexcept;
  KvmVcpu& operator=(KvmVcpu&&) = delete;
  ~KvmVcpu();

  kvm_run& shared() noexcept { return *run_; }
  std::span<std::byte> run_page() noexcept {
    return {reinterpret_cast<std::byte*>(run_), run_size_};
  }
  int run() noexcept;  // 0, or errno (EINTR: kicked)
  // While in KVM_RUN, only these signals stay blocked; outside, the thread's own mask rules.
  void set_signal_mask(uint64_t blocked);

  // A fixed-size structure by its ioctl pair, e.g. get<kvm_regs>(KVM_GET_REGS, "KVM_GET_REGS").
  template <class T>
  T get(unsigned long request, const char* name) const {
    T value{};
    call(request, &value, name);
    return value;
  }
  template <class T>
  void set(unsigned long request, const T& value, const char* name) {
    call(request, const_cast<T*>(&value), name);
  }

  void set_cpuid(const CpuidTable& table);
  // Those of the wanted MSRs that KVM can read.
  MsrTable get_msrs(std::span<const uint32_t> wanted) const;
  // The indexes that KVM refused.
  std::vector<uint32_t> set_msrs(const MsrTable& msrs);
  std::vector<std::byte> get_xsave(size_t size) const;  // size as KVM_CAP_XSAVE2 says, or 4096
  void set_xsave(std::span<const std::byte> xsave);
  std::optional<uint32_t> tsc_khz() const noexcept;
  bool set_tsc_khz(uint32_t khz) noexcept;  // false: this host cannot
  // The guest did not run for a while: its watchdogs shall not bark. Nothing where it has no
  // kvmclock.
  void tell_paused() noexcept;

 private:
  void call(unsigned long request, void* argument, const char* name) const;

  UniqueFd fd_;
  size_t run_size_;
  kvm_run* run_;
};

class KvmVm final : public Doorbells, public MemorySlots, public IrqInputs, public LocalApics {
 public:
  explicit KvmVm(UniqueFd fd, size_t run_size) : fd_(std::move(fd)), run_size_(run_size) {}

  // Memory that the guest has for as long as the VM is there.
  void add_memory(uint64_t guest_address, std::span<std::byte> host);
  // The same, but that what the guest writes there is for the MMIO bus. With KVM_CAP_READONLY_MEM.
  void add_read_only_memory(uint64_t guest_address, std::span<std::byte> host);
  std::unique_ptr<MemorySlot> attach(uint64_t guest_address, std::span<std::byte> host) override;
  std::unique_ptr<MemorySlot> attach_read_only(uint64_t guest_address,
                                               std::span<std::byte> host) override;

  // Interrupt controllers, before the first vCPU. Either local APICs alone, messages to which go
  // are LocalApics'; or KVM's PICs and I/O APIC as well, whose inputs are IrqInputs'.
  void create_local_apics();
  void create_irqchip();
  void mask_pics();          // all inputs of both, as firmware leaves them
  void set_special_pages();  // TSS and identity map, where KVM wants some of the address space
  void create_pit();
  void raise(uint32_t input) noexcept override;
  void set(uint32_t input, bool high) noexcept override;
  void send(MsiMessage message) noexcept override;
  void report_ends_of(std::span<const MsiMessage> messages) override;
  Doorbell attach(DoorbellAddress address, int eventfd) override;
  KvmVcpu create_vcpu(uint32_t id);
  int check_extension(int capability) const noexcept;

  template <class T>
  void exchange(unsigned long request, T& value, const char* name) const {
    call(request, &value, name);
  }

 private:
  class Slot;
  class LoggedSlot;

  void call(unsigned long request, void* argument, const char* name) const;
  void ioeventfd(DoorbellAddress address, int eventfd, uint32_t flags) const;

  UniqueFd fd_;
  size_t run_size_;
  uint32_t slots_ = 0;  // how many there have been: the next one's number
};

class Kvm {
 public:
  // Opens the device and checks that this KVM has what Vireo needs.
  static Kvm open(const std::string& device = "/dev/kvm");

  int check_extension(int capability) const noexcept;
  CpuidTable supported_cpuid() const;
  std::vector<uint32_t> saved_msrs() const;  // what KVM_GET_MSR_INDEX_LIST says a snapshot needs
  KvmVm create_vm() const;

 private:
  explicit Kvm(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace vireo
