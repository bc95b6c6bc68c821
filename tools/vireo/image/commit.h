// `vireo image commit`: brings what an overlay holds into an image below it.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_commit(CLI::App& image, int& status);

}  // namespace vireo::cli
