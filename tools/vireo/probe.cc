#include "tools/vireo/probe.h"

#include <array>
#include <fstream>
#include <optional>
#include <sstream>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/boot/entry.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/regs.h"
#include "vmm/kvm/kvm.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/layout.h"

namespace vireo::cli {

namespace {

constexpr uint16_t kPort = 0xf4;
constexpr uint8_t kAnswer = 42;

// mov $42, %al; out %al, $0xf4; hlt
constexpr std::array<uint8_t, 5> kGuest{0xb0, kAnswer, 0xe6, kPort, 0xf4};

// The reason why the guest did not give its answer, or nothing when it did.
std::optional<std::string> run_tiny_guest(const Kvm& kvm) {
  KvmVm vm = kvm.create_vm();
  vm.set_special_pages();
  vm.create_local_apics();
  GuestMemory memory({.size = 2 * MiB});
  vm.add_memory(0, memory.regions().front().bytes);
  VMM_CHECK(memory.write(layout::kHighRamStart, kGuest), "there is RAM at 1 MiB");
  KvmVcpu vcpu = vm.create_vcpu(0);
  vcpu.set_cpuid(guest_cpuid(kvm.supported_cpuid(), {}));
  enter_at(vcpu, enter_long_mode(memory, layout::kHighRamStart));
  if (const int error = vcpu.run(); error != 0)
    return fmt::format("KVM_RUN failed: {}", std::system_category().message(error));
  const kvm_run& run = vcpu.shared();
  if (run.exit_reason != KVM_EXIT_IO || run.io.port != kPort)
    return fmt::format("the guest left with KVM exit {} instead of its port write",
                       run.exit_reason);
  const auto answer = vcpu.run_page()[run.io.data_offset];
  if (std::to_integer<uint8_t>(answer) != kAnswer) return "the guest's answer was wrong";
  return std::nullopt;
}

}  // namespace

bool has_hardware_virtualisation(const std::string& cpuinfo) {
  std::ifstream in(cpuinfo);
  std::string line;
  while (std::getline(in, line)) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;)
      if (word == "svm" || word == "vmx") return true;
    return false;
  }
  return false;
}

KvmProbe probe_kvm(const std::string& device) {
  try {
    const Kvm kvm = Kvm::open(device);
    try {
      if (const auto problem = run_tiny_guest(kvm)) return {KvmProbe::Kind::broken, *problem};
    } catch (const std::exception& error) {
      return {KvmProbe::Kind::broken, describe(error)};
    }
    return {has_hardware_virtualisation() ? KvmProbe::Kind::hardware : KvmProbe::Kind::page_table,
            ""};
  } catch (const std::exception& error) {
    return {KvmProbe::Kind::absent, describe(error)};
  }
}

}  // namespace vireo::cli
