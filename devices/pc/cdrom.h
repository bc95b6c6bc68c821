// A CD-ROM drive, as `vireo run --cdrom` and descriptions in JSON tell it. Plain values; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "blockdev/open.h"
#include "devices/pc/keys.h"

namespace vireo::pc {

struct CdromSpec {
  std::string id{};  // names it; empty in a list: cdrom0, cdrom1, …
  // Without a location, the drive is empty.
  blk::Spec image{.format = "raw", .read_only = true, .references = blk::References::any};
  std::optional<uint32_t> bootindex{};  // BootDevice's
};

Keys keys_of(CdromSpec& cdrom);

}  // namespace vireo::pc
