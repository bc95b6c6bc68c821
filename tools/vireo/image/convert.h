// `vireo image convert`: copies images into a new one, of another format or kind.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_convert(CLI::App& image, int& status);

}  // namespace vireo::cli
