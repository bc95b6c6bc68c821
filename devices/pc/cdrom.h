// A CD-ROM drive, as `vireo run --cdrom` and descriptions in JSON tell it. Plain values; any
// thread.
#pragma once

#include <string>

#include "blockdev/open.h"
#include "devices/pc/keys.h"

namespace vireo::pc {

struct CdromSpec {
  std::string id{};  // names it; empty in a list: cdrom0, cdrom1, …
  // Without a location, the drive is empty.
  blk::Spec image{.format = "raw", .read_only = true, .references = blk::References::any};
};

Keys keys_of(CdromSpec& cdrom);

}  // namespace vireo::pc
