// What `vireo run` was asked for: options as they were written, then a machine's description.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "devices/pc/config.h"
#include "devices/pc/spec.h"
#include "tools/vireo/options.h"
#include "vmm/base/log.h"

namespace vireo::cli {

// As written on the command line, in its order.
struct RunArguments {
  std::vector<std::string> configs;  // at most one
  std::vector<pc::Option> machine;   // those that describe it
  std::string log_level = "warn", log_file;
  std::string shutdown_timeout = "10";
  bool dry_run = false, print_config = false;
};

// Checked: every value is in range and every name is known. But for --config's, files are not
// looked at.
struct RunOptions {
  pc::PcSpec spec{};
  Logger log{};
  std::chrono::seconds shutdown_timeout{};  // for a guest whose power button a signal pressed
  bool dry_run = false;
  bool print_config = false;
};

// Throws ConfigError naming the option, and what reading --config's file throws.
RunOptions resolve(const RunArguments& arguments);

// Declares all options of the command, bound to `arguments`.
void add_run_options(Options& run, RunArguments& arguments);

}  // namespace vireo::cli
