// `vireo run`: a machine from the command line, to its end.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_run(CLI::App& app, int& status);

}  // namespace vireo::cli
