// What is set aside for a disk in advance. Plain values; any thread.
#pragma once

#include <array>
#include <cstdint>

#include "blockdev/words.h"

namespace vireo::blk {

// Nothing, the mapping, space on the host, zeros in it.
enum class Preallocation : uint8_t { off, metadata, falloc, full };
inline constexpr std::array kPreallocationWords{
    Word<Preallocation>{"off", Preallocation::off},
    Word<Preallocation>{"metadata", Preallocation::metadata},
    Word<Preallocation>{"falloc", Preallocation::falloc},
    Word<Preallocation>{"full", Preallocation::full}};
// `option` is what messages call it. Throws ConfigError.
Preallocation parse_preallocation(const std::string& option, const std::string& word);

}  // namespace vireo::blk
