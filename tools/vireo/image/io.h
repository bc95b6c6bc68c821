// `vireo image io`: single requests on an image, in the command language of qemu-io.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_io(CLI::App& image, int& status);

}  // namespace vireo::cli
