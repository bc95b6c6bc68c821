#include "blockdev/host.h"

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::blk {

CacheMode parse_cache_mode(const std::string& word) {
  if (const auto mode = find_word(kCacheWords, word)) return *mode;
  throw ConfigError(
      fmt::format("'{}' is not a cache mode; write cache={}", word, one_of(kCacheWords)));
}

AioMode parse_aio_mode(const std::string& word) {
  if (const auto mode = find_word(kAioWords, word)) return *mode;
  throw ConfigError(
      fmt::format("'{}' is no way to do disk I/O; write aio={}", word, one_of(kAioWords)));
}

}  // namespace vireo::blk
