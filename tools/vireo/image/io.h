// `vireo image io`: single requests on an image, in the command language of qemu-io.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

inline constexpr const char* kIoSummary = "Read and write parts of an image, as qemu-io does";

// Adds the subcommand, or only makes a command or program of its own the same.
void add_io(Options& image);
void add_io_options(Options& command);

}  // namespace vireo::cli
