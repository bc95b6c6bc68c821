// `vireo image info`: what an image is.
#pragma once

#include <string>

#include "blockdev/format/qcow2.h"
#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the subcommand.
void add_info(Options& image);

// The lines that are about qcow2 only, from "Format specific information:" on.
std::string qcow2_specifics(const blk::Qcow2Description& qcow2);

}  // namespace vireo::cli
