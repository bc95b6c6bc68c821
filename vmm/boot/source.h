// What a machine starts with, and what that puts into its memory: a kernel comes with the firmware
// tables and a reset vector in low memory, where a PC's own firmware lies otherwise.
//
// Thread: control, before the vCPUs run. Owns nothing. Throws as load_linux() and
// write_acpi_tables() do.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "vmm/base/log.h"
#include "vmm/boot/acpi_namespace.h"
#include "vmm/boot/entry.h"
#include "vmm/boot/firmware.h"
#include "vmm/boot/linux.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

using BootSource = std::variant<LinuxBoot, FirmwareBoot>;

struct BootTarget {
  GuestMemory& memory;  // new or cleared
  uint32_t vcpus = 1;   // whose APIC ids are 0, 1, …
  const AcpiNamespace& names;
  const Logger& log;
};

// Fills the memory; what the first vCPU starts with. Nothing: as it is after a reset.
std::optional<EntryState> load(const BootSource& source, const BootTarget& target);

}  // namespace vireo
