// `vireo image check`: is an image consistent, and repairs.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// The exit statuses, which are qemu-img's; errors of the options or of the host count as
// kCheckFailed.
inline constexpr int kCheckFailed = 1;  // the check was not completed
inline constexpr int kCheckCorrupt = 2;
inline constexpr int kCheckLeaks = 3;
inline constexpr int kCheckNotSupported = 63;

// Adds the subcommand.
void add_check(Options& image);

}  // namespace vireo::cli
