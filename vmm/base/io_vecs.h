// Scatter/gather lists. The memory is the caller's and outlives what is done with it; guest memory
// may change at any time, so what decides something is copied out once. Plain functions; any
// thread. Units: bytes.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vireo {

using IoVecs = std::vector<iovec>;

uint64_t total_length(std::span<const iovec> vectors) noexcept;
// The part from `offset` on, `length` bytes long; both must lie inside.
IoVecs slice(std::span<const iovec> vectors, uint64_t offset, uint64_t length);

// Copies as many bytes as both sides have, and says how many; `offset` is in the list.
size_t copy_to(std::span<const iovec> to, std::span<const std::byte> from,
               size_t offset = 0) noexcept;
size_t copy_from(std::span<std::byte> to, std::span<const iovec> from) noexcept;
// Adds all bytes from `offset` on to the end.
void append(std::vector<std::byte>& to, std::span<const iovec> from, size_t offset = 0);

void fill_zero(std::span<const iovec> vectors) noexcept;
bool all_zero(std::span<const iovec> vectors) noexcept;

}  // namespace vireo
