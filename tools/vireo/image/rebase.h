// `vireo image rebase`: lays an overlay over another image.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_rebase(CLI::App& image, int& status);

}  // namespace vireo::cli
