// Parses a command line, and says of words that are not known which ones were meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>

namespace vireo::cli {

// Runs the callback of the command that the arguments name, if they can be understood; its
// exceptions come through. Prints what --help and --version ask for. Throws UsageError.
void parse_command_line(CLI::App& app, int argc, char** argv);

// The candidate that `word` is most like, or "" when it is like none.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// What stands for an option of QEMU's, or "" when it is none that is known.
std::string_view in_place_of_qemus(std::string_view option);

}  // namespace vireo::cli
