// What a PC tells its firmware: the items of fw_cfg, and the chip of the clock, whose RAM holds the
// sizes that a BIOS looks for there. Thread: control.
#pragma once

#include <cstdint>
#include <vector>

#include "devices/firmware/fw_cfg.h"
#include "devices/legacy/mc146818.h"
#include "devices/pc/boot.h"
#include "vmm/boot/smbios.h"
#include "vmm/platform.h"

namespace vireo::pc {

struct FirmwareInfo {
  uint32_t vcpus = 1;
  BootSpec boot{};
  std::vector<BootDevice> devices{};
  SmbiosTables smbios{};
  dev::FwCfgItems::Write set_ramfb{};  // nothing: there is no screen
  std::vector<std::byte> vga_rom{};    // which shows there what the BIOS says; may be empty
  bool gives_up = false;  // what finds nothing to boot resets the machine soon, not never
};

// Called when all devices are in the platform's tables. `first`: the machine was not reset yet.
dev::FwCfgItems firmware_items(const Platform& platform, const FirmwareInfo& info, bool first);
// At power-on.
dev::Mc146818::State cmos_of(const GuestMemory& memory, uint32_t vcpus, const BootSpec& boot);

}  // namespace vireo::pc
