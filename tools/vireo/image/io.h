// `vireo image io`: single requests on an image, in the command language of qemu-io.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_io(Options& image);

}  // namespace vireo::cli
