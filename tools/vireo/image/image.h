// `vireo image`: makes, examines and changes disk images, with the options, the words and the JSON
// keys of qemu-img.
#pragma once

#include <string>
#include <vector>

namespace vireo::cli {

// What `vireo --help` says of it.
inline constexpr const char* kImageSummary =
    "Make, examine and change disk images, as qemu-img does";

// The command: `argv[0]` is not looked at. Called as qemu-io, it is that command's. It has a parser
// of its own, so that building its many options costs the start of the other commands nothing.
// Tells of errors in one line and returns the exit status.
int run_image(int argc, char** argv);

// What the words behind `vireo image` may go on with (candidates.h).
std::vector<std::string> image_candidates(const std::vector<std::string>& words);

}  // namespace vireo::cli
