// What a command line may go on with, for shells that complete it: read off the declared options.
//
// Any thread.
#pragma once

#include <string>
#include <vector>

#include "devices/pc/keys.h"
#include "tools/vireo/options.h"

namespace vireo::cli {

// `words` are those behind the program's name; the last one is the one that is being written, and
// may be empty. Gives whole words that it may become: commands, options, or values of an option
// ("auto|apic|pc", or what completes it). Nothing where a file's name may stand, and where nothing
// is known.
std::vector<std::string> candidates(const CLI::App& program, const Completions& completions,
                                    const std::vector<std::string>& words);

// "a.img,ca" becomes "a.img,cache=", and that each of "a.img,cache=none", …
std::vector<std::string> complete_keys(const std::vector<pc::Keys::Description>& keys,
                                       const std::string& written);

}  // namespace vireo::cli
