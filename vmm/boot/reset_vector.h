// What a processor finds where a PC's firmware starts, F000:FFF0: a write to the reset register.
//
// Linux on a hardware-reduced ACPI platform does not reset through the tables: it asks UEFI and,
// where there is none, jumps to the firmware in real mode (arch/x86/kernel/reboot.c, BOOT_BIOS).
// Thread: control. Owns nothing.
#pragma once

#include <span>

#include "vmm/device.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

// For the power device among the devices; does nothing without one.
void write_reset_vector(GuestMemory& memory, std::span<const AcpiDevice> devices);

}  // namespace vireo
