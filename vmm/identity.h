// What must be the same in a machine that goes on from a snapshot and belongs to no device: what
// the firmware tables say of the devices, and what CPUID tells the first vCPU.
//
// Thread: control. Values.
#pragma once

#include <cstdint>

#include "vmm/base/state.h"
#include "vmm/boot/acpi_namespace.h"
#include "vmm/kvm/kvm.h"

namespace vireo {

struct MachineIdentity {
  static constexpr StateTag kTag{"platform", 2};
  uint64_t tables = 0;     // a hash
  uint64_t processor = 0;  // a hash

  static void fields(auto& self, auto& archive) {
    archive("tables", self.tables)("processor", self.processor);
  }
  bool operator==(const MachineIdentity&) const = default;
};

MachineIdentity identity_of(const AcpiNamespace& names, const CpuidTable& processor);

// Throws ConfigError when the machine is another than the saved one.
void check_identity(const MachineIdentity& saved, const MachineIdentity& own);

}  // namespace vireo
