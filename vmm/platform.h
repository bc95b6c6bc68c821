// What a machine offers its devices: memory, address spaces, interrupts, doorbells, and the place
// where they tell the guest's firmware tables of themselves.
//
// Thread: control for what is claimed, any for what is claimed then, as each part says. Owned by
// the machine; outlives the devices.
#pragma once

#include <string>

#include "vmm/base/log.h"
#include "vmm/base/worker_pool.h"
#include "vmm/boot/acpi_namespace.h"
#include "vmm/bus.h"
#include "vmm/kvm/doorbell.h"
#include "vmm/kvm/irq.h"
#include "vmm/kvm/memory_slot.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/register_pages.h"

namespace vireo {

// Requests of devices to the machine. Any thread; they only post.
class MachineControl {
 public:
  virtual ~MachineControl() = default;
  virtual void guest_power_off() = 0;
  virtual void guest_reset() = 0;
  virtual void guest_debug_exit(uint32_t value) = 0;
  // The device can not go on for a reason of the host's; ends the VM with the text.
  virtual void host_error(const std::string& what) = 0;
};

struct Platform {
  GuestMemory& memory;
  WorkerPool& pool;
  Doorbells& doorbells;
  MemorySlots& slots;
  MachineControl& control;
  IrqAllocator irqs;
  Logger log{};
  Bus mmio{"mmio"};
  Bus pio{"port"};
  RegisterPages register_pages{};  // for devices without a fixed address
  AcpiNamespace acpi{};
};

}  // namespace vireo
