// The PVH way into a kernel (Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h):
// 32-bit protected mode without paging, ebx points to a start-info structure.
//
// Thread: control.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "vmm/boot/entry.h"
#include "vmm/boot/ram_map.h"
#include "vmm/bus.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

struct PvhBoot {
  uint64_t entry = 0;
  EntryArea area{};  // the command line lies there already
  std::optional<Range> initrd{};
  uint64_t acpi_rsdp = 0;  // 0: none
  std::span<const E820Entry> e820{};
};

EntryState enter_pvh(GuestMemory& memory, const PvhBoot& boot);

}  // namespace vireo
