// `vireo image map`: where the parts of a disk lie, in which file of the chain.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_map(CLI::App& image, int& status);

}  // namespace vireo::cli
