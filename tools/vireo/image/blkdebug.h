// The faults that QEMU's blkdebug describes, and the events at which they strike: for
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

// "l2_load": a point of the work on an image, of those that there are here.
blk::DebugEvent parse_debug_event(const std::string& name);

// "event", "state", "iotype", "errno", "sector", "once", "immediately": requests fail.
blk::FaultRule parse_fault(std::map<std::string, std::string> keys);
// "event", "state", "new_state": the state changes.
blk::FaultRule parse_new_state(std::map<std::string, std::string> keys);

// The [inject-error] and [set-state] sections of a file's text.
std::vector<blk::FaultRule> parse_blkdebug_text(std::string_view text);
std::vector<blk::FaultRule> read_blkdebug(const std::string& path);

}  // namespace vireo::cli
