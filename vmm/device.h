// What the machine knows of a device, and what a device gets of the machine.
//
// A device is Config + State + backends: by convention it has `struct State` (vmm/base/state.h), is
// constructed from one (`D(std::string name, DeviceEnv&, Config…, State = {})`), claims its
// addresses and interrupts in the constructor, and keeps everything the guest can observe in that
// State.
#pragma once

#include <string>
#include <vector>

#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"
#include "vmm/base/state.h"
#include "vmm/base/task.h"
#include "vmm/base/worker_pool.h"
#include "vmm/bus.h"
#include "vmm/kvm/doorbell.h"
#include "vmm/kvm/irq.h"
#include "vmm/kvm/memory_slot.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/register_pages.h"

namespace vireo {

// What the firmware tables must tell the guest of a device: collected by the machine.
struct AcpiDevice {
  enum class Kind : uint8_t { virtio_mmio, serial, rtc, keyboard, mouse, power };
  Kind kind;
  uint64_t address = 0;  // MMIO or port
  uint64_t length = 0;
  uint32_t gsi = 0;
};

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

// All of it outlives the devices.
struct DeviceEnv {
  GuestMemory& memory;
  EventLoop& loop;  // the device's home
  WorkerPool& pool;
  Bus& mmio;
  Bus& pio;
  IrqAllocator& irqs;
  Doorbells& doorbells;
  MemorySlots& slots;
  MachineControl& control;
  std::vector<AcpiDevice>& acpi;
  RegisterPages& register_pages;  // for devices without a fixed address
  Logger log{};

  // The same for a device whose home is another loop.
  DeviceEnv at(EventLoop& home) const {
    return {memory, home,    pool, mmio,           pio, irqs, doorbells,
            slots,  control, acpi, register_pages, log};
  }
};

// Thread: control thread constructs and destroys; start/stop/reset/save/close run on the home
// loop.
//   constructed -> start() -> stop() -> start() ... close()
// reset() and save() only while stopped.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  virtual const std::string& name() const noexcept = 0;
  virtual void start() = 0;  // from here on it may touch the guest; kicks what waits
  // Resolves when it no longer touches the guest and its State is stable; idempotent. Waits for
  // nothing but work of the host's that is under way (a disk's requests), never for the guest.
  virtual Task<void> stop() = 0;
  virtual void reset() = 0;
  virtual void save(StateWriter& writer) const = 0;
  // The last call, while stopped, before destruction: lets go in order of what needs it (a disk).
  virtual Task<void> close() { co_return; }
};

}  // namespace vireo
