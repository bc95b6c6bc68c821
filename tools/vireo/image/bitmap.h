// `vireo image bitmap`: makes, removes and changes the persistent dirty bitmaps of a qcow2 image.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

void add_bitmap(Options& image);

}  // namespace vireo::cli
