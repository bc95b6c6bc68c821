// `vireo run`: a machine from the command line, to its end.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the command.
void add_run(Options& program);

}  // namespace vireo::cli
