// `vireo image compare`: do two images show the same?
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run: 0 they do, 1 they do not.
void add_compare(CLI::App& image, int& status);

}  // namespace vireo::cli
