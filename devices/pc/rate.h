// KEY=N, KEY-burst=N and KEY-burst-length=SECONDS of disks and networks: a rate that is not gone
// beyond.
#pragma once

#include <string_view>

#include "devices/pc/keys.h"
#include "vmm/base/token_bucket.h"

namespace vireo::pc {

struct RateNames {
  std::string_view rate, burst, burst_length;
};

// `values`: "N", or "SIZE" for a rate in bytes.
void add_rate(Keys& keys, const RateNames& names, std::string_view values, std::string_view help,
              RateLimit& limit);

}  // namespace vireo::pc
