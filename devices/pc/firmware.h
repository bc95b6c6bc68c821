// What a PC tells its firmware: the items of fw_cfg, and the chip of the clock, whose RAM holds the
// sizes that a BIOS looks for there. Thread: control.
#pragma once

#include "devices/firmware/fw_cfg.h"
#include "devices/legacy/mc146818.h"
#include "devices/pc/spec.h"
#include "vmm/platform.h"

namespace vireo::pc {

// Called when all devices are in the platform's tables. `gives_up`: a BIOS that finds nothing to
// boot resets the machine soon, instead of leaving its message there for ever.
dev::FwCfgItems firmware_items(const Platform& platform, uint32_t vcpus, bool gives_up);
// At power-on.
dev::Mc146818::State cmos_of(const GuestMemory& memory, uint32_t vcpus);

}  // namespace vireo::pc
