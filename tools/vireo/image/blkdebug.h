// The faults that QEMU's blkdebug describes, as far as they are faults of the image's file: for
// "blkdebug:CONF:NAME" and the options of driver=blkdebug.
//
// Errors: ConfigError and std::system_error naming the file, the line and the key.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "blockdev/filter/fault.h"

namespace vireo::cli {

// "event", "errno", "sector", "once", "immediately": a rule that lets requests fail.
blk::FaultRule parse_fault(std::map<std::string, std::string> keys);

// The [inject-error] sections of a file's text.
std::vector<blk::FaultRule> parse_blkdebug_text(std::string_view text);
std::vector<blk::FaultRule> read_blkdebug(const std::string& path);

}  // namespace vireo::cli
