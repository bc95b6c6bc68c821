// Puts the first vCPU where a kernel starts.
// Thread: control, while the vCPU is parked. Errors: std::system_error from KVM.
#pragma once

#include "vmm/boot/entry.h"
#include "vmm/kvm/kvm.h"

namespace vireo {

void enter_at(KvmVcpu& vcpu, const EntryState& entry);

}  // namespace vireo
