// `vireo image rebase`: lays an overlay over another image.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_rebase(Options& image);

}  // namespace vireo::cli
