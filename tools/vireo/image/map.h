// `vireo image map`: where the parts of a disk lie, in which file of the chain.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_map(Options& image);

}  // namespace vireo::cli
