// `vireo image`: makes, examines and changes disk images, with the options, the words and the JSON
// keys of qemu-img.
#pragma once

#include <CLI/App.hpp>

namespace vireo::cli {

// Names the command in the help of `app`; the command itself is run_image(), so that building its
// many options costs the start of the other commands nothing.
void announce_image(CLI::App& app);

// The command: `argv[0]` is "image". Tells of errors in one line and returns the exit status.
int run_image(int argc, char** argv);

}  // namespace vireo::cli
