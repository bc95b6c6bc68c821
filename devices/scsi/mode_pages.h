// The mode pages of a logical unit, which are all fixed (SPC-4, 7.5; SBC-3, 6.4; MMC-6, 7).
// Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "devices/scsi/inquiry.h"

namespace vireo::scsi {

struct ModeRequest {
  uint8_t page = 0;         // 0x3f: all
  bool changeable = false;  // asks which bits can be changed: none
};

// Nothing when the unit has no such page. `locked`: a CD-ROM's medium cannot be removed.
std::optional<std::vector<std::byte>> mode_pages(const ModeRequest& request, UnitKind kind,
                                                 bool locked);

}  // namespace vireo::scsi
