// `vireo image resize`: makes a disk larger or smaller.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_resize(CLI::App& image, int& status);

}  // namespace vireo::cli
