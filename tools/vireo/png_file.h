// A picture as a PNG file.
//
// Any thread; waits for the disk.
#pragma once

#include <string>

#include "devices/display/client/screenshot.h"

namespace vireo::cli {

// Over the file of that name, if there is one: a disk without room for the picture leaves it as it
// was. A file that was made here and not completed is removed. Throws ConfigError or
// std::system_error.
void write_png(const display::Screenshot& shot, const std::string& path);

}  // namespace vireo::cli
