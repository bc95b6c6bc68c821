// `vireo image commit`: brings what an overlay holds into an image below it.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_commit(Options& image);

}  // namespace vireo::cli
