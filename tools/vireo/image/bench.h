// `vireo image bench`: how fast an image is.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_bench(CLI::App& image, int& status);

}  // namespace vireo::cli
