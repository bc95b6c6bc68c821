// `vireo completion`: the scripts by which shells complete vireo's command line.
#pragma once

#include <string>
#include <vector>

#include "tools/vireo/options.h"

namespace vireo::cli {

void add_completion(Options& program);

// `vireo completion words [WORD...]`, which the scripts ask: it prints what the last word may
// become, a line each. The words are no options of that command, whatever they look like.
bool is_asked_for_words(int argc, char** argv);
int print_words(const Options& program, const std::vector<std::string>& words);

}  // namespace vireo::cli
