// The firmware tables as files of fw_cfg, with the commands by which a BIOS puts them where it has
// room (QEMU's table loader, include/hw/acpi/bios-linker-loader.h there).
//
// Thread: control. Values.
#pragma once

#include "devices/firmware/fw_cfg.h"
#include "vmm/boot/acpi.h"

namespace vireo::dev {

// etc/acpi/rsdp, etc/acpi/tables and etc/table-loader.
void add_acpi_files(FwCfgItems& items, AcpiTables tables);

}  // namespace vireo::dev
