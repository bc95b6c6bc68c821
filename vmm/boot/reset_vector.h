// What a processor finds where a PC's firmware starts, F000:FFF0: a write to the reset register.
//
// Linux on a hardware-reduced ACPI platform does not reset through the tables: it asks UEFI and,
// where there is none, jumps to the firmware in real mode (arch/x86/kernel/reboot.c, BOOT_BIOS).
// Thread: control. Owns nothing.
#pragma once

#include "vmm/boot/acpi_namespace.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

// Does nothing without a reset register.
void write_reset_vector(GuestMemory& memory, const AcpiNamespace& names);

}  // namespace vireo
