// The language of `vireo run --disk`: keys and values, checked and resolved. Errors: ConfigError
// that names the option and says what is expected. Pure functions; files are not looked at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "blockdev/open.h"

namespace vireo::cli {

struct DiskOption {
  std::string id;
  std::string serial;
  blk::Spec spec{};
  uint16_t queues = 1;
  bool iothread = false;
  bool stop_when_full = false;  // on-enospc=stop
};

// Each --disk in order; ids that are not given are disk0, disk1, …
std::vector<DiskOption> parse_disks(const std::vector<std::string>& texts);

// What the keys mean, for --help.
extern const char* const kDiskHelp;

}  // namespace vireo::cli
