// Where things are in the guest's address spaces, once. Guest-physical addresses unless "port".
#pragma once

#include <cstdint>

#include "vireo/units.h"

namespace vireo {

inline constexpr uint64_t kPageSize = 4 * KiB;

namespace layout {

// RAM is [0, min(size, 3 GiB)) and, when larger, goes on at 4 GiB: the gap holds devices.
inline constexpr uint64_t kRamGapStart = 3 * GiB;
inline constexpr uint64_t kRamGapEnd = 4 * GiB;

// Low memory. The kernel is entered by the 64-bit protocol with these tables in place.
inline constexpr uint64_t kGdt = 0x500;
inline constexpr uint64_t kIdt = 0x520;
inline constexpr uint64_t kBootParams = 0x7000;  // the "zero page"
inline constexpr uint64_t kBootStack = 0x8ff0;
inline constexpr uint64_t kPageTables = 0x9000;  // PML4, PDPT and 4 page directories
inline constexpr uint64_t kEntryArea = 0x10000;  // of a 32-bit program, unless it lies there itself
inline constexpr uint64_t kCommandLine = 0x20000;
inline constexpr uint64_t kCommandLineMax = 64 * KiB;
inline constexpr uint64_t kLowRamEnd = 0x9fc00;   // the EBDA follows, as on a PC
inline constexpr uint64_t kShadow = 0xc0000;      // option ROMs, and a BIOS, which ends at 1 MiB
inline constexpr uint64_t kAcpiTables = 0xe0000;  // RSDP first: kernels scan for it from here on
inline constexpr uint64_t kAcpiTablesEnd = 0x100000;
inline constexpr uint64_t kSmbios = 0xf0000;       // anchor first: kernels scan for it from here on
inline constexpr uint64_t kResetVector = 0xffff0;  // F000:FFF0
inline constexpr uint64_t kHighRamStart = 0x100000;

// Devices in the gap. Free are [kRamGapStart, kVirtioMmio) for PCI's windows and [kFlash, 4 GiB)
// for a firmware of up to 4 MiB, which ends at 4 GiB.
inline constexpr uint64_t kVirtioMmio = 0xd0000000;  // one page each
inline constexpr uint64_t kVirtioMmioStride = 0x1000;
inline constexpr uint64_t kFramebuffer = 0xe0000000;
inline constexpr uint64_t kIoApic = 0xfec00000;
inline constexpr uint64_t kLocalApic = 0xfee00000;
inline constexpr uint64_t kIdentityMap = 0xfeffc000;  // KVM_SET_IDENTITY_MAP_ADDR, 1 page
inline constexpr uint64_t kTss = 0xfeffd000;          // KVM_SET_TSS_ADDR, 3 pages
inline constexpr uint64_t kFlash = 0xffc00000;
static_assert(kLocalApic < kIdentityMap && kTss + 3 * kPageSize <= kFlash);

// I/O APIC input pins (GSIs). The legacy ones are fixed, the free ones go to virtio devices.
inline constexpr uint32_t kGsiKeyboard = 1;
inline constexpr uint32_t kGsiCom1 = 4;
inline constexpr uint32_t kGsiRtc = 8;
inline constexpr uint32_t kGsiPower = 9;
inline constexpr uint32_t kGsiMouse = 12;
inline constexpr uint32_t kGsiCount = 24;

// Ports.
inline constexpr uint16_t kPortI8042Data = 0x60;
inline constexpr uint16_t kPortI8042Command = 0x64;
inline constexpr uint16_t kPortRtcIndex = 0x70;
inline constexpr uint16_t kPortRtcData = 0x71;
inline constexpr uint16_t kPortSystemControl = 0x92;
inline constexpr uint16_t kPortDebugExit = 0xf4;
inline constexpr uint16_t kPortCom1 = 0x3f8;
inline constexpr uint16_t kPortDebugConsole = 0x402;
inline constexpr uint16_t kPortFwCfg = 0x510;
inline constexpr uint16_t kPortAcpiPower = 0x600;  // see devices/legacy/acpi_power.h
inline constexpr uint16_t kPortResetControl = 0xcf9;

}  // namespace layout
}  // namespace vireo
