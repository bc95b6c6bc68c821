// The one way to the bytes of an image: opens what a location says. The only file that names all
// protocols.
//
// Thread: the graph's loop. Errors: ConfigError or std::system_error that names the location.
#pragma once

#include <cstdint>
#include <memory>

#include "blockdev/location.h"
#include "blockdev/protocol/file.h"

namespace vireo::blk {

// Of a place that is no other image: those are open.h's. `engines` is used only until the task has
// finished.
Task<std::unique_ptr<Node>> open_protocol(FileEngines& engines, Location location,
                                          OpenOptions options);

// Bytes that the host has set aside for what lies there; 0 where that cannot be told.
uint64_t allocated_size(const Location& location);

}  // namespace vireo::blk
