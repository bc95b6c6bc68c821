// `vireo exec`: a command in a fresh machine on the host's own files.
#pragma once

#include "tools/vireo/options.h"

namespace vireo::cli {

// Adds the command.
void add_exec(Options& program);

}  // namespace vireo::cli
