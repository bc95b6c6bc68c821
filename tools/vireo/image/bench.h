// `vireo image bench`: how fast an image is.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_bench(Options& image);

}  // namespace vireo::cli
