// KEY=N, KEY-burst=N and KEY-burst-length=SECONDS of disks and networks: a rate that is not gone
// beyond. Errors: ConfigError. Pure.
#pragma once

#include <string>
#include <string_view>

#include "blockdev/filter/throttle.h"
#include "tools/vireo/parse.h"

namespace vireo::cli {

// `option` is for messages: "--disk". In bytes, values are sizes.
blk::RateLimit parse_rate(std::string_view option, const KeyValues& keys, const std::string& key,
                          bool in_bytes);

}  // namespace vireo::cli
