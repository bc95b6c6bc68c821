// `vireo image check`: is an image consistent, and repairs.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// The exit statuses, which are qemu-img's; errors of the options or of the host count as
// kCheckFailed.
inline constexpr int kCheckFailed = 1;  // the check was not completed
inline constexpr int kCheckCorrupt = 2;
inline constexpr int kCheckLeaks = 3;
inline constexpr int kCheckNotSupported = 63;

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_check(CLI::App& image, int& status);

}  // namespace vireo::cli
