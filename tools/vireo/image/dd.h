// `vireo image dd`: copies a part of an image into a new one.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_dd(CLI::App& image, int& status);

}  // namespace vireo::cli
