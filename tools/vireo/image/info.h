// `vireo image info`: what an image is.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_info(Options& image);

}  // namespace vireo::cli
