// `vireo image compare`: do two images show the same?
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand, whose exit status is 0 when they do, 1 when they do not.
void add_compare(Options& image);

}  // namespace vireo::cli
