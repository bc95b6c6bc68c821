// `vireo image create`: a new, empty image.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_create(CLI::App& image, int& status);

}  // namespace vireo::cli
