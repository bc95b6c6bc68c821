// `vireo image info`: what an image is.
#pragma once

#include <string>

#include "blockdev/format/image.h"
#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_info(Options& image);

// The lines about what only images of its format have, from "Format specific information:" on;
// empty when there is nothing.
std::string details_text(const blk::ImageFacts& image);

}  // namespace vireo::cli
