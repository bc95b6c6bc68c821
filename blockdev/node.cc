#include "blockdev/node.h"

#include <algorithm>
#include <array>

namespace vireo::blk {

namespace {

constexpr uint64_t kZeroChunk = 1024 * 1024;

// Aligned for every node; only read.
alignas(4096) constexpr std::array<std::byte, 65536> kZeros{};

}  // namespace

IoVecs zero_vectors(uint64_t length) {
  IoVecs vectors;
  for (; length > 0; length -= vectors.back().iov_len)
    vectors.push_back(
        {const_cast<std::byte*>(kZeros.data()), std::min<uint64_t>(length, kZeros.size())});
  return vectors;
}

Task<std::error_code> Node::discard(uint64_t, uint64_t) {
  co_return std::error_code{};
}

Task<std::error_code> Node::zero(uint64_t offset, uint64_t length, ZeroFlags) {
  for (uint64_t done = 0; done < length; done += kZeroChunk) {
    IoVecs from = zero_vectors(std::min(length - done, kZeroChunk));
    const WriteFlags flags;
    const std::error_code error = co_await write(offset + done, std::move(from), flags);
    if (error) co_return error;
  }
  co_return std::error_code{};
}

Task<std::error_code> Node::resize(uint64_t) {
  co_return Refusal::node_keeps_size;
}

Task<Extent> Node::extent(uint64_t, uint64_t length) {
  co_return Extent{.length = length};
}

}  // namespace vireo::blk
