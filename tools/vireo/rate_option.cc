#include "tools/vireo/rate_option.h"

#include <fmt/core.h>

namespace vireo::cli {

blk::RateLimit parse_rate(std::string_view option, const KeyValues& keys, const std::string& key,
                          bool in_bytes) {
  const auto value = [&](const std::string& part) {
    return in_bytes ? keys.size(part, 0) : keys.number(part, 0);
  };
  const blk::RateLimit limit{value(key), value(key + "-burst"),
                             keys.number(key + "-burst-length", 1)};
  blk::check_rate_limit(limit, fmt::format("{}: {}", option, key));
  return limit;
}

}  // namespace vireo::cli
