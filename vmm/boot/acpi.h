// The ACPI tables of the machine (ACPI 6.5): hardware-reduced, so that there are neither PM timers
// nor an 8259; the devices are those that claimed to be there.
//
//   \_SB.Cxxx   processors          \_SB.Vxxx   virtio-mmio, LNRO0005 (what Linux looks for)
//   \_SB.COMx   serial ports        \_SB.RTC_   \_SB.KBD_   \_SB.MOU_
//   \_SB.PWRB   power button, told by \_SB.GED_ (ACPI0013) from the power device's event register
//
// The power device's registers, each one byte, from its address on: sleep control, sleep status,
// reset (write 1), events (read clears; bit 0: the power button).
// Thread: control. Addresses guest-physical.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/device.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

struct AcpiPlatform {
  std::span<const uint32_t> apic_ids{};  // of all processors, the boot processor's first
  std::span<const AcpiDevice> devices{};
};

struct AcpiTable {
  uint64_t address = 0;
  std::string signature{};
  std::vector<std::byte> bytes{};
};

// The RSDP, which lies at `base` (16-byte aligned), and the tables it leads to, behind it.
std::vector<AcpiTable> make_acpi_tables(const AcpiPlatform& platform, uint64_t base);

// Writes them to layout::kAcpiTables and returns the address of the RSDP. Throws ConfigError when
// they do not fit.
uint64_t write_acpi_tables(GuestMemory& memory, const AcpiPlatform& platform);

}  // namespace vireo
