#include "vmm/boot/source.h"

#include <numeric>
#include <vector>

#include "vmm/boot/acpi.h"
#include "vmm/boot/reset_vector.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

std::optional<EntryState> load_one(const LinuxBoot& boot, const BootTarget& target) {
  std::vector<uint32_t> apic_ids(target.vcpus);
  std::iota(apic_ids.begin(), apic_ids.end(), 0);
  const LoadedKernel kernel = load_linux(target.memory, boot, layout::kAcpiTables, target.log);
  // Over what the kernel's file has there: on a PC it is read-only memory.
  write_acpi_tables(target.memory, {.apic_ids = apic_ids, .names = target.names});
  if (boot.smbios) write_smbios_tables(target.memory, *boot.smbios);
  write_reset_vector(target.memory, target.names);
  return kernel.entry;
}

std::optional<EntryState> load_one(const FirmwareBoot& boot, const BootTarget& target) {
  load_firmware(target.memory, boot);
  return std::nullopt;
}

}  // namespace

std::optional<EntryState> load(const BootSource& source, const BootTarget& target) {
  return std::visit([&](const auto& boot) { return load_one(boot, target); }, source);
}

}  // namespace vireo
