// The ACPI tables of the machine (ACPI 6.5): hardware-reduced, so that there are neither PM timers
// nor an 8259. Its devices are what they themselves handed in (acpi_namespace.h); processors are
// \_SB.Cxxx.
//
// Thread: control. Addresses guest-physical.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/boot/acpi_namespace.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

struct AcpiPlatform {
  std::span<const uint32_t> apic_ids{};  // of all processors, the boot processor's first
  const AcpiNamespace& names;
};

// The tables wherever they will lie: two pieces, with a list of what depends on the place. It is
// what the loader of a firmware does by itself (QEMU's table loader), or place() at once.
struct AcpiTables {
  enum class Piece : uint8_t { rsdp, tables };
  // A little-endian field that holds an offset into `tables`, to which that piece's address is
  // added.
  struct Pointer {
    Piece piece = Piece::tables;
    uint32_t offset = 0;
    uint32_t size = 0;  // in bytes: 4 or 8
  };
  // A byte that makes the bytes from `start` on add up to 0, once the pointers are right.
  struct Checksum {
    Piece piece = Piece::tables;
    uint32_t offset = 0;
    uint32_t start = 0, length = 0;
  };
  std::vector<std::byte> rsdp{};
  std::vector<std::byte> tables{};  // each aligned to 16 bytes
  std::vector<Pointer> pointers{};
  std::vector<Checksum> checksums{};
};

AcpiTables make_acpi_tables(const AcpiPlatform& platform);
// Fills in what depends on the place; addresses are multiples of 16.
void place(AcpiTables& tables, uint64_t rsdp, uint64_t address);

// Writes them to layout::kAcpiTables, the RSDP first, and returns its address. Throws ConfigError
// when they do not fit.
uint64_t write_acpi_tables(GuestMemory& memory, const AcpiPlatform& platform);

}  // namespace vireo
