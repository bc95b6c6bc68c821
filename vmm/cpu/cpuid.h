// What CPUID tells a guest: the host's table as KVM supports it, with what is the machine's own set
// (topology, APIC ids, the KVM leaves) and what is only the host's taken out (PMU, power
// management). Pure functions; any thread.
#pragma once

#include <cstdint>

#include "vmm/kvm/kvm.h"

namespace vireo {

struct CpuidConfig {
  uint32_t vcpu = 0;   // its APIC id, too
  uint32_t vcpus = 1;  // one package, one core each, no threads
  bool tsc_deadline = false;
  uint32_t tsc_khz = 0;  // 0: not told
};

CpuidTable guest_cpuid(CpuidTable supported, const CpuidConfig& config);

}  // namespace vireo
