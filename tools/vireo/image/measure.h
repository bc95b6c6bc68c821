// `vireo image measure`: how large the file of a new image would become.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_measure(CLI::App& image, int& status);

}  // namespace vireo::cli
