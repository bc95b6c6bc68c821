// `vireo image convert`: copies images into a new one, of another format or kind.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_convert(Options& image);

}  // namespace vireo::cli
