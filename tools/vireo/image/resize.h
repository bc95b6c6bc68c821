// `vireo image resize`: makes a disk larger or smaller.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_resize(Options& image);

}  // namespace vireo::cli
