#include "blockdev/preallocation.h"

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::blk {

Preallocation parse_preallocation(const std::string& option, const std::string& word) {
  if (const auto how = find_word(kPreallocationWords, word)) return *how;
  throw ConfigError(fmt::format("{}: '{}' is no preallocation: it is {}", option, word,
                                one_of(kPreallocationWords)));
}

}  // namespace vireo::blk
