// `vireo image snapshot`: the internal snapshots of a qcow2 image.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_snapshot(CLI::App& image, int& status);

}  // namespace vireo::cli
