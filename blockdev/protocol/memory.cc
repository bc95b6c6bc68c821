#include "blockdev/protocol/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo::blk {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMostBytes = uint64_t{1} << 46;  // what an x86-64 process can map

uint64_t page_up(uint64_t bytes) noexcept {
  return (bytes + kPage - 1) & ~(kPage - 1);
}

}  // namespace

MemoryNode::MemoryNode(uint64_t size, uint32_t block)
    : limits_{.size = size,
              .block = block,
              .buffer_alignment = block,
              .can_discard = true,
              .can_zero = true} {
  if (const std::error_code error = reserve(std::max<uint64_t>(size, 1)))
    throw std::system_error(error, "cannot get memory for a disk");
}

MemoryNode::~MemoryNode() {
  if (bytes_ != nullptr) ::munmap(bytes_, capacity_);
}

std::error_code MemoryNode::reserve(uint64_t bytes) noexcept {
  if (bytes <= capacity_) return {};
  if (bytes > kMostBytes) return std::make_error_code(std::errc::not_enough_memory);
  const uint64_t capacity = page_up(bytes);
  void* mapping = bytes_ == nullptr ? ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                                    : ::mremap(bytes_, capacity_, capacity, MREMAP_MAYMOVE);
  if (mapping == MAP_FAILED) return last_error();
  bytes_ = static_cast<std::byte*>(mapping);
  capacity_ = capacity;
  return {};
}

Task<std::error_code> MemoryNode::read(uint64_t offset, IoVecs into) {
  const uint64_t length = total_length(into);
  const uint64_t there = offset < capacity_ ? std::min(length, capacity_ - offset) : 0;
  if (there < length) fill_zero(slice(into, there, length - there));
  if (there > 0) copy_to(into, {bytes_ + offset, there});
  co_return std::error_code{};
}

Task<std::error_code> MemoryNode::write(uint64_t offset, IoVecs from, WriteFlags) {
  const uint64_t length = total_length(from);
  const std::error_code error = reserve(offset + length);
  if (error) co_return error;
  copy_from({bytes_ + offset, length}, from);
  limits_.size = std::max(limits_.size, offset + length);
  co_return std::error_code{};
}

Task<std::error_code> MemoryNode::flush() {
  co_return std::error_code{};
}

// Whole pages go back to the system, which hands out zeros when they are touched again.
void MemoryNode::clear(uint64_t offset, uint64_t length) noexcept {
  const uint64_t end = offset + length;
  const uint64_t first = std::min(page_up(offset), end);
  const uint64_t last = std::max(end & ~(kPage - 1), first);
  if (offset < first) std::memset(bytes_ + offset, 0, first - offset);
  if (first < last && ::madvise(bytes_ + first, last - first, MADV_DONTNEED) != 0)
    std::memset(bytes_ + first, 0, last - first);
  if (last < end) std::memset(bytes_ + last, 0, end - last);
}

Task<std::error_code> MemoryNode::discard(uint64_t offset, uint64_t length) {
  const ZeroFlags flags;
  const std::error_code error = co_await zero(offset, length, flags);
  co_return error;
}

Task<std::error_code> MemoryNode::zero(uint64_t offset, uint64_t length, ZeroFlags) {
  const std::error_code error = reserve(offset + length);
  if (error) co_return error;
  clear(offset, length);
  limits_.size = std::max(limits_.size, offset + length);
  co_return std::error_code{};
}

Task<std::error_code> MemoryNode::resize(uint64_t size) {
  const std::error_code error = reserve(size);
  if (error) co_return error;
  if (size < limits_.size) clear(size, capacity_ - size);
  limits_.size = size;
  co_return std::error_code{};
}

bool MemoryNode::page_is_zero(uint64_t page) const noexcept {
  if (page >= capacity_) return true;
  return vireo::all_zero({bytes_ + page, kPage});
}

// By looking at the pages: the system does not tell a page that was swapped out from one that was
// never written.
Task<Extent> MemoryNode::extent(uint64_t offset, uint64_t length) {
  constexpr uint64_t kMostLookedAt = 1024 * 1024;
  const uint64_t first = offset & ~(kPage - 1);
  const uint64_t last = offset + std::min(length, kMostLookedAt);
  const bool zero = page_is_zero(first);
  uint64_t end = first + kPage;
  while (end < last && page_is_zero(end) == zero) end += kPage;
  co_return Extent{.length = std::min(end - offset, length), .data = !zero, .zero = zero};
}

}  // namespace vireo::blk
