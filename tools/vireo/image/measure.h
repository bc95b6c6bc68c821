// `vireo image measure`: how large the file of a new image would become.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_measure(Options& image);

}  // namespace vireo::cli
