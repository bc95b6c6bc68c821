// `vireo image create`: a new, empty image.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_create(Options& image);

}  // namespace vireo::cli
