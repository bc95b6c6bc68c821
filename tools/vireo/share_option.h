// The language of `vireo run --share`: keys and values, checked and resolved. Errors: ConfigError
// that names the option and says what is expected. Pure functions; directories are not looked at.
#pragma once

#include <string>
#include <vector>

#include "devices/virtio/p9.h"

namespace vireo::cli {

// Each --share in order.
std::vector<dev::P9Config> parse_shares(const std::vector<std::string>& texts);

// What the keys mean, for --help.
extern const char* const kShareHelp;

}  // namespace vireo::cli
