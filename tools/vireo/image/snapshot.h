// `vireo image snapshot`: the internal snapshots of a qcow2 image.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_snapshot(Options& image);

}  // namespace vireo::cli
