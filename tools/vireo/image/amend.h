// `vireo image amend`: changes what an existing qcow2 image is: its version, its size, the files
// that it names.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

void add_amend(Options& image);

}  // namespace vireo::cli
