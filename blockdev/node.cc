#include "blockdev/node.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr uint64_t kZeroChunk = 1024 * 1024;

// Aligned for every node; only read.
alignas(4096) constexpr std::array<std::byte, 65536> kZeros{};

const std::byte* begin_of(const iovec& vector) noexcept {
  return static_cast<const std::byte*>(vector.iov_base);
}

}  // namespace

uint64_t total_length(std::span<const iovec> vectors) noexcept {
  uint64_t total = 0;
  for (const iovec& vector : vectors) total += vector.iov_len;
  return total;
}

IoVecs slice(const IoVecs& vectors, uint64_t offset, uint64_t length) {
  IoVecs part;
  for (const iovec& vector : vectors) {
    if (length == 0) break;
    if (offset >= vector.iov_len) {
      offset -= vector.iov_len;
      continue;
    }
    const uint64_t take = std::min<uint64_t>(vector.iov_len - offset, length);
    part.push_back({static_cast<std::byte*>(vector.iov_base) + offset, take});
    length -= take;
    offset = 0;
  }
  VMM_CHECK(length == 0, "a slice lies inside its list");
  return part;
}

void fill_zero(const IoVecs& vectors) noexcept {
  for (const iovec& vector : vectors) std::memset(vector.iov_base, 0, vector.iov_len);
}

bool all_zero(const IoVecs& vectors) noexcept {
  return std::all_of(vectors.begin(), vectors.end(), [](const iovec& vector) {
    return vireo::all_zero({begin_of(vector), vector.iov_len});
  });
}

IoVecs zero_vectors(uint64_t length) {
  IoVecs vectors;
  for (; length > 0; length -= vectors.back().iov_len)
    vectors.push_back(
        {const_cast<std::byte*>(kZeros.data()), std::min<uint64_t>(length, kZeros.size())});
  return vectors;
}

void copy_to(const IoVecs& to, std::span<const std::byte> from) noexcept {
  for (const iovec& vector : to) {
    const size_t n = std::min(from.size(), vector.iov_len);
    if (n > 0) std::memcpy(vector.iov_base, from.data(), n);
    from = from.subspan(n);
  }
}

void copy_from(std::span<std::byte> to, const IoVecs& from) noexcept {
  for (const iovec& vector : from) {
    const size_t n = std::min(to.size(), vector.iov_len);
    if (n > 0) std::memcpy(to.data(), vector.iov_base, n);
    to = to.subspan(n);
  }
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
