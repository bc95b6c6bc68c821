// `vireo screenshot`: what is on a VM's screen, as a PNG file.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_screenshot(CLI::App& app, int& status);

}  // namespace vireo::cli
