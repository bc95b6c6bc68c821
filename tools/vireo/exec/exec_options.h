// What `vireo exec` was asked for: options as they were written, then a machine and a command.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "devices/pc/config.h"
#include "devices/pc/spec.h"
#include "tools/vireo/options.h"
#include "vmm/base/log.h"

namespace vireo::cli {

// As written on the command line.
struct ExecArguments {
  std::vector<pc::Option> machine{};  // those that describe it
  std::string kernel{}, append{};
  std::string root = "host";
  std::vector<std::string> writable{};
  std::optional<std::string> directory{}, user{}, result{};
  std::vector<std::string> environment{};
  bool terminal = false, no_terminal = false;
  std::string timeout = "0";
  std::string log_level = "warn";
  std::vector<std::string> command{};
};

// Where in the guest a directory of the host's can be written.
struct WritableShare {
  std::string tag{};
  std::string path{};  // absolute, on the host and in the guest
};

// Checked: every value is in range and every name is known.
struct ExecOptions {
  pc::PcSpec spec{};  // all but the initrd; its shares are the root's, the writable ones, others
  std::string root_tag{};
  std::vector<WritableShare> writable{};
  bool user_network = false;  // whose addresses are known
  std::string directory{};    // where the command starts, in the guest
  std::string user{};
  std::vector<std::string> environment{};  // "NAME=value"
  std::vector<std::string> command{};
  bool terminal = false;
  std::optional<std::chrono::nanoseconds> timeout{};
  Logger log{};
};

// Looks at this process: its directory, its environment, its streams. Throws ConfigError naming the
// option, and std::system_error.
ExecOptions resolve(const ExecArguments& arguments);

// Declares all options of the command, bound to `arguments`.
void add_exec_options(Options& exec, ExecArguments& arguments);

}  // namespace vireo::cli
