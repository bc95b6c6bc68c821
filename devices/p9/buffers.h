// Lists of buffers, which lie in guest memory: the guest may change them at any time, so what
// decides something is copied out once. Plain functions; any thread.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace vireo::p9 {

using Buffers = std::vector<iovec>;

inline uint64_t total_length(const Buffers& buffers) noexcept {
  uint64_t total = 0;
  for (const iovec& buffer : buffers) total += buffer.iov_len;
  return total;
}

// `length` bytes from `offset` on, or as many as there are.
inline Buffers slice(const Buffers& buffers, uint64_t offset, uint64_t length) {
  Buffers part;
  for (const iovec& buffer : buffers) {
    if (length == 0) break;
    if (offset >= buffer.iov_len) {
      offset -= buffer.iov_len;
      continue;
    }
    const size_t taken = std::min<uint64_t>(buffer.iov_len - offset, length);
    part.push_back({static_cast<std::byte*>(buffer.iov_base) + offset, taken});
    length -= taken;
    offset = 0;
  }
  return part;
}

// Bytes copied: fewer than the span's only at the end of the shorter side.
inline size_t copy_from(const Buffers& buffers, std::span<std::byte> into) noexcept {
  size_t done = 0;
  for (const iovec& buffer : buffers) {
    const size_t part = std::min(buffer.iov_len, into.size() - done);
    if (part == 0) break;
    std::memcpy(into.data() + done, buffer.iov_base, part);
    done += part;
  }
  return done;
}
inline size_t copy_to(const Buffers& buffers, std::span<const std::byte> from) noexcept {
  size_t done = 0;
  for (const iovec& buffer : buffers) {
    const size_t part = std::min(buffer.iov_len, from.size() - done);
    if (part == 0) break;
    std::memcpy(buffer.iov_base, from.data() + done, part);
    done += part;
  }
  return done;
}

}  // namespace vireo::p9
