#include "vmm/base/io_vecs.h"

#include <algorithm>
#include <cstring>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"

namespace vireo {

namespace {

std::span<std::byte> bytes_of_part(const iovec& vector) noexcept {
  return {static_cast<std::byte*>(vector.iov_base), vector.iov_len};
}

}  // namespace

uint64_t total_length(std::span<const iovec> vectors) noexcept {
  uint64_t total = 0;
  for (const iovec& vector : vectors) total += vector.iov_len;
  return total;
}

IoVecs slice(std::span<const iovec> vectors, uint64_t offset, uint64_t length) {
  IoVecs part;
  for (const iovec& vector : vectors) {
    if (length == 0) break;
    const uint64_t skipped = std::min<uint64_t>(offset, vector.iov_len);
    offset -= skipped;
    const auto bytes = bytes_of_part(vector).subspan(skipped);
    const uint64_t taken = std::min<uint64_t>(bytes.size(), length);
    if (taken > 0) part.push_back({bytes.data(), taken});
    length -= taken;
  }
  VMM_CHECK(length == 0, "a slice lies inside its list");
  return part;
}

size_t copy_to(std::span<const iovec> to, std::span<const std::byte> from, size_t offset) noexcept {
  size_t done = 0;
  for (const iovec& vector : to) {
    if (done == from.size()) break;
    const size_t skipped = std::min(offset, vector.iov_len);
    offset -= skipped;
    const auto part = bytes_of_part(vector).subspan(skipped);
    const size_t length = std::min(part.size(), from.size() - done);
    if (length > 0) std::memcpy(part.data(), from.data() + done, length);
    done += length;
  }
  return done;
}

size_t copy_from(std::span<std::byte> to, std::span<const iovec> from) noexcept {
  size_t done = 0;
  for (const iovec& vector : from) {
    const size_t length = std::min(vector.iov_len, to.size() - done);
    if (length > 0) std::memcpy(to.data() + done, vector.iov_base, length);
    done += length;
  }
  return done;
}

void append(std::vector<std::byte>& to, std::span<const iovec> from, size_t offset) {
  for (const iovec& vector : from) {
    const size_t skipped = std::min(offset, vector.iov_len);
    offset -= skipped;
    const auto part = bytes_of_part(vector).subspan(skipped);
    to.insert(to.end(), part.begin(), part.end());
  }
}

void fill_zero(std::span<const iovec> vectors) noexcept {
  for (const iovec& vector : vectors) std::memset(vector.iov_base, 0, vector.iov_len);
}

bool all_zero(std::span<const iovec> vectors) noexcept {
  return std::all_of(vectors.begin(), vectors.end(),
                     [](const iovec& vector) { return all_zero(bytes_of_part(vector)); });
}

}  // namespace vireo
