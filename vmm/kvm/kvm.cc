#include "vmm/kvm/kvm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/kvm/abi.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

constexpr size_t kMaxCpuidEntries = 256;
constexpr size_t kMaxMsrs = 4096;

int retry_ioctl(int fd, unsigned long request, void* argument) noexcept {
  int result;
  do {
    result = ::ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return result;
}

int checked_ioctl(int fd, unsigned long request, void* argument, const char* name) {
  const int result = retry_ioctl(fd, request, argument);
  if (result < 0) throw_errno(fmt::format("KVM refused {}", name));
  return result;
}

int number_ioctl(int fd, unsigned long request, uint64_t number, const char* name) {
  return checked_ioctl(fd, request, reinterpret_cast<void*>(number), name);
}

// A kernel structure that ends in an array: header, then `count` entries.
template <class Header, class Entry>
class Flexible {
 public:
  explicit Flexible(size_t count) : bytes_(sizeof(Header) + count * sizeof(Entry)) {}
  Header& header() { return *reinterpret_cast<Header*>(bytes_.data()); }
  Entry* entries() { return reinterpret_cast<Entry*>(bytes_.data() + sizeof(Header)); }

 private:
  std::vector<std::byte> bytes_;
};

kvm_userspace_memory_region memory_region(uint32_t slot, uint64_t guest_address,
                                          std::span<std::byte> host, uint32_t flags = 0) {
  kvm_userspace_memory_region region{};
  region.flags = flags;
  region.slot = slot;
  region.guest_phys_addr = guest_address;
  region.memory_size = host.size();
  region.userspace_addr = reinterpret_cast<uint64_t>(host.data());
  return region;
}

struct Need {
  int capability;
  const char* name;
};
constexpr std::array kNeeds{
    Need{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    Need{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    Need{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    Need{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    Need{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    Need{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    Need{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    Need{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    Need{KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
    Need{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    Need{KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    Need{KVM_CAP_XCRS, "KVM_CAP_XCRS"},
    Need{KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
    Need{KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
    Need{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

[[noreturn]] void throw_cannot_open(const std::string& device) {
  if (errno == ENOENT)
    throw ConfigError(fmt::format(
        "{} does not exist: load the kvm_intel or kvm_amd module, switch virtualisation on in the "
        "firmware, or allow nested virtualisation ('vireo doctor' tells more)",
        device));
  if (errno == EACCES || errno == EPERM)
    throw ConfigError(fmt::format(
        "no permission to use {}: add yourself to its group (usually 'kvm') and log in again",
        device));
  throw_errno(fmt::format("cannot open {}", device));
}

}  // namespace

// --- KvmVcpu ---

KvmVcpu::KvmVcpu(UniqueFd fd, size_t run_size) : fd_(std::move(fd)), run_size_(run_size) {
  void* const page = ::mmap(nullptr, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (page == MAP_FAILED) throw_errno("cannot map a vCPU's run page");
  run_ = static_cast<kvm_run*>(page);
}

KvmVcpu::KvmVcpu(KvmVcpu&& other) noexcept
    : fd_(std::move(other.fd_)),
      run_size_(other.run_size_),
      run_(std::exchange(other.run_, nullptr)) {}

KvmVcpu::~KvmVcpu() {
  if (run_ != nullptr) ::munmap(run_, run_size_);
}

int KvmVcpu::run() noexcept {
  return ::ioctl(fd_.get(), KVM_RUN, 0) < 0 ? errno : 0;
}

void KvmVcpu::set_signal_mask(uint64_t blocked) {
  Flexible<kvm_abi::SignalMaskHeader, uint8_t> mask(sizeof blocked);
  mask.header().length = sizeof blocked;
  std::memcpy(mask.entries(), &blocked, sizeof blocked);
  call(kvm_abi::kSetSignalMask, &mask.header(), "KVM_SET_SIGNAL_MASK");
}

void KvmVcpu::call(unsigned long request, void* argument, const char* name) const {
  checked_ioctl(fd_.get(), request, argument, name);
}

void KvmVcpu::set_cpuid(const CpuidTable& table) {
  Flexible<kvm_abi::CpuidHeader, kvm_cpuid_entry2> cpuid(table.size());
  cpuid.header().count = static_cast<uint32_t>(table.size());
  std::copy(table.begin(), table.end(), cpuid.entries());
  call(kvm_abi::kSetCpuid2, &cpuid.header(), "KVM_SET_CPUID2");
}

MsrTable KvmVcpu::get_msrs(std::span<const uint32_t> wanted) const {
  MsrTable read;
  // KVM stops at the first MSR it cannot read: go on behind it.
  while (!wanted.empty()) {
    Flexible<kvm_abi::MsrsHeader, kvm_msr_entry> msrs(wanted.size());
    msrs.header().count = static_cast<uint32_t>(wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) msrs.entries()[i].index = wanted[i];
    const int n = checked_ioctl(fd_.get(), kvm_abi::kGetMsrs, &msrs.header(), "KVM_GET_MSRS");
    const size_t done = static_cast<size_t>(n);
    read.insert(read.end(), msrs.entries(), msrs.entries() + done);
    wanted = wanted.subspan(std::min(done + 1, wanted.size()));
  }
  return read;
}

std::vector<uint32_t> KvmVcpu::set_msrs(const MsrTable& table) {
  std::vector<uint32_t> refused;
  std::span<const kvm_msr_entry> rest(table);
  while (!rest.empty()) {
    Flexible<kvm_abi::MsrsHeader, kvm_msr_entry> msrs(rest.size());
    msrs.header().count = static_cast<uint32_t>(rest.size());
    std::copy(rest.begin(), rest.end(), msrs.entries());
    const int n = checked_ioctl(fd_.get(), kvm_abi::kSetMsrs, &msrs.header(), "KVM_SET_MSRS");
    const size_t done = static_cast<size_t>(n);
    if (done < rest.size()) refused.push_back(rest[done].index);
    rest = rest.subspan(std::min(done + 1, rest.size()));
  }
  return refused;
}

std::vector<std::byte> KvmVcpu::get_xsave(size_t size) const {
  std::vector<std::byte> xsave(size);
  const bool large = size > sizeof(kvm_abi::Xsave);
  call(large ? kvm_abi::kGetXsave2 : kvm_abi::kGetXsave, xsave.data(), "KVM_GET_XSAVE");
  return xsave;
}

void KvmVcpu::set_xsave(std::span<const std::byte> xsave) {
  std::vector<std::byte> copy(xsave.begin(), xsave.end());
  call(kvm_abi::kSetXsave, copy.data(), "KVM_SET_XSAVE");
}

std::optional<uint32_t> KvmVcpu::tsc_khz() const noexcept {
  const int khz = ::ioctl(fd_.get(), KVM_GET_TSC_KHZ, 0);
  if (khz <= 0) return std::nullopt;
  return static_cast<uint32_t>(khz);
}

bool KvmVcpu::set_tsc_khz(uint32_t khz) noexcept {
  return ::ioctl(fd_.get(), KVM_SET_TSC_KHZ, khz) == 0;
}

void KvmVcpu::tell_paused() noexcept {
  ::ioctl(fd_.get(), KVM_KVMCLOCK_CTRL, 0);
}

// --- KvmVm ---

void KvmVm::call(unsigned long request, void* argument, const char* name) const {
  checked_ioctl(fd_.get(), request, argument, name);
}

int KvmVm::check_extension(int capability) const noexcept {
  return ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, capability);
}

void KvmVm::add_memory(uint64_t guest_address, std::span<std::byte> host) {
  auto region = memory_region(slots_++, guest_address, host);
  call(KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

void KvmVm::add_read_only_memory(uint64_t guest_address, std::span<std::byte> host) {
  auto region = memory_region(slots_++, guest_address, host, KVM_MEM_READONLY);
  call(KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

class KvmVm::Slot : public MemorySlot {
 public:
  Slot(int vm, const kvm_userspace_memory_region& region) noexcept : vm_(vm), region_(region) {}
  ~Slot() override {
    region_.memory_size = 0;
    retry_ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region_);
  }
  bool log_writes(bool) noexcept override { return false; }
  std::optional<std::vector<uint64_t>> take_written() override { return std::nullopt; }

 protected:
  const int vm_;  // a descriptor
  kvm_userspace_memory_region region_;
};

class KvmVm::LoggedSlot final : public Slot {
 public:
  using Slot::Slot;

  bool log_writes(bool on) noexcept override {
    region_.flags = on ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    return retry_ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region_) == 0;
  }

  std::optional<std::vector<uint64_t>> take_written() override {
    std::vector<uint64_t> pages((region_.memory_size / kPageSize + 63) / 64);
    kvm_dirty_log log{};
    log.slot = region_.slot;
    log.dirty_bitmap = pages.data();
    if (retry_ioctl(vm_, KVM_GET_DIRTY_LOG, &log) != 0) return std::nullopt;
    return pages;
  }
};

std::unique_ptr<MemorySlot> KvmVm::attach(uint64_t guest_address, std::span<std::byte> host) {
  const uint32_t slot = slots_;
  add_memory(guest_address, host);
  return std::make_unique<LoggedSlot>(fd_.get(), memory_region(slot, guest_address, host));
}

std::unique_ptr<MemorySlot> KvmVm::attach_read_only(uint64_t guest_address,
                                                    std::span<std::byte> host) {
  const uint32_t slot = slots_;
  add_read_only_memory(guest_address, host);
  return std::make_unique<Slot>(fd_.get(),
                                memory_region(slot, guest_address, host, KVM_MEM_READONLY));
}

void KvmVm::set_special_pages() {
  uint64_t identity_map = layout::kIdentityMap;
  call(KVM_SET_IDENTITY_MAP_ADDR, &identity_map, "KVM_SET_IDENTITY_MAP_ADDR");
  number_ioctl(fd_.get(), KVM_SET_TSS_ADDR, layout::kTss, "KVM_SET_TSS_ADDR");
}

void KvmVm::create_local_apics() {
  kvm_enable_cap split{};
  split.cap = KVM_CAP_SPLIT_IRQCHIP;
  split.args[0] = layout::kGsiCount;
  call(KVM_ENABLE_CAP, &split, "KVM_CAP_SPLIT_IRQCHIP");
}

void KvmVm::create_irqchip() {
  call(KVM_CREATE_IRQCHIP, nullptr, "KVM_CREATE_IRQCHIP");
}

void KvmVm::mask_pics() {
  for (const uint32_t id : {uint32_t{KVM_IRQCHIP_PIC_MASTER}, uint32_t{KVM_IRQCHIP_PIC_SLAVE}}) {
    kvm_irqchip chip{};
    chip.chip_id = id;
    call(KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
    chip.chip.pic.imr = 0xff;
    call(KVM_SET_IRQCHIP, &chip, "KVM_SET_IRQCHIP");
  }
}

void KvmVm::raise(uint32_t input) noexcept {
  set(input, true);
  set(input, false);
}

void KvmVm::set(uint32_t input, bool high) noexcept {
  kvm_irq_level line{};
  line.irq = input;
  line.level = high ? 1 : 0;
  retry_ioctl(fd_.get(), KVM_IRQ_LINE, &line);
}

void KvmVm::send(MsiMessage message) noexcept {
  kvm_msi msi{};
  msi.address_lo = message.address;
  msi.data = message.data;
  retry_ioctl(fd_.get(), KVM_SIGNAL_MSI, &msi);
}

// KVM takes the routes of the I/O APIC's inputs for what that delivers, and exits at the ends of
// those that are level-triggered (KVM API, KVM_CAP_SPLIT_IRQCHIP).
void KvmVm::report_ends_of(std::span<const MsiMessage> messages) {
  Flexible<kvm_abi::RoutingHeader, kvm_irq_routing_entry> routing(messages.size());
  routing.header().count = static_cast<uint32_t>(messages.size());
  for (uint32_t input = 0; input < messages.size(); ++input) {
    kvm_irq_routing_entry& route = routing.entries()[input];
    route.gsi = input;
    route.type = KVM_IRQ_ROUTING_MSI;
    route.u.msi.address_lo = messages[input].address;
    route.u.msi.data = messages[input].data;
  }
  call(kvm_abi::kSetGsiRouting, &routing.header(), "KVM_SET_GSI_ROUTING");
}

void KvmVm::create_pit() {
  kvm_pit_config config{};
  config.flags = KVM_PIT_SPEAKER_DUMMY;  // port 0x61 too
  call(KVM_CREATE_PIT2, &config, "KVM_CREATE_PIT2");
}

void KvmVm::ioeventfd(DoorbellAddress address, int eventfd, uint32_t flags) const {
  kvm_ioeventfd config{};
  config.addr = address.address;
  config.len = address.width;
  config.datamatch = address.value.value_or(0);
  config.fd = eventfd;
  config.flags = (address.value ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0U) | flags;
  call(KVM_IOEVENTFD, &config, "KVM_IOEVENTFD");
}

Doorbell KvmVm::attach(DoorbellAddress address, int eventfd) {
  ioeventfd(address, eventfd, 0);
  return Doorbell(
      [this, address, eventfd] { ioeventfd(address, eventfd, KVM_IOEVENTFD_FLAG_DEASSIGN); });
}

KvmVcpu KvmVm::create_vcpu(uint32_t id) {
  return KvmVcpu(UniqueFd{number_ioctl(fd_.get(), KVM_CREATE_VCPU, id, "KVM_CREATE_VCPU")},
                 run_size_);
}

// --- Kvm ---

Kvm Kvm::open(const std::string& device) {
  UniqueFd fd{::open(device.c_str(), O_RDWR | O_CLOEXEC)};
  if (!fd) throw_cannot_open(device);
  const int version = ::ioctl(fd.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) throw ConfigError(fmt::format("{} is not a KVM device", device));
  if (version != KVM_API_VERSION)
    throw ConfigError(
        fmt::format("{} speaks KVM API version {}, Vireo needs {}: update the host's kernel",
                    device, version, KVM_API_VERSION));
  Kvm kvm(std::move(fd));
  for (const Need& need : kNeeds)
    if (kvm.check_extension(need.capability) <= 0)
      throw ConfigError(
          fmt::format("the host's KVM lacks {}: update the host's kernel", need.name));
  return kvm;
}

int Kvm::check_extension(int capability) const noexcept {
  return ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, capability);
}

CpuidTable Kvm::supported_cpuid() const {
  Flexible<kvm_abi::CpuidHeader, kvm_cpuid_entry2> cpuid(kMaxCpuidEntries);
  cpuid.header().count = kMaxCpuidEntries;
  checked_ioctl(fd_.get(), kvm_abi::kGetSupportedCpuid, &cpuid.header(), "KVM_GET_SUPPORTED_CPUID");
  return {cpuid.entries(), cpuid.entries() + cpuid.header().count};
}

std::vector<uint32_t> Kvm::saved_msrs() const {
  Flexible<kvm_abi::MsrListHeader, uint32_t> list(kMaxMsrs);
  list.header().count = kMaxMsrs;
  checked_ioctl(fd_.get(), kvm_abi::kGetMsrIndexList, &list.header(), "KVM_GET_MSR_INDEX_LIST");
  return {list.entries(), list.entries() + list.header().count};
}

KvmVm Kvm::create_vm() const {
  const int run_size = ::ioctl(fd_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_size <= 0) throw_errno("KVM refused KVM_GET_VCPU_MMAP_SIZE");
  return KvmVm(UniqueFd{checked_ioctl(fd_.get(), KVM_CREATE_VM, nullptr, "KVM_CREATE_VM")},
               static_cast<size_t>(run_size));
}

}  // namespace vireo
