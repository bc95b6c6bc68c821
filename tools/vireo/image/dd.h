// `vireo image dd`: copies a part of an image into a new one.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_dd(Options& image);

}  // namespace vireo::cli
