// What lies in the buffers of a request or a reply, whose lengths the guest says. Any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "vmm/base/io_vecs.h"

namespace vireo::p9 {

// `length` bytes from `offset` on, or as many as there are.
inline IoVecs part_of(std::span<const iovec> buffers, uint64_t offset, uint64_t length) {
  const uint64_t total = total_length(buffers);
  const uint64_t begin = std::min(offset, total);
  return slice(buffers, begin, std::min(length, total - begin));
}

}  // namespace vireo::p9
