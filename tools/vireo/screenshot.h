// `vireo screenshot`: what is on a VM's screen, as a PNG file.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the command.
void add_screenshot(Options& program);

}  // namespace vireo::cli
