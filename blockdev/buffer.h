// Memory for requests of the block layer's own, aligned as a node wants it, and to pages when it
// has that size: a request that begins inside a page takes one more of the disk's segments. Any
// thread. An allocation that fails leaves the buffer empty: the data path says ENOMEM instead of
// throwing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>

#include "blockdev/node.h"

namespace vireo::blk {

class Buffer {
 public:
  Buffer(size_t size, size_t alignment) noexcept : size_(size) {
    void* memory = nullptr;
    if (::posix_memalign(&memory, std::max(alignment, least_alignment(size)), size) == 0)
      memory_.reset(static_cast<std::byte*>(memory));
  }
  explicit operator bool() const noexcept { return memory_ != nullptr; }
  size_t size() const noexcept { return size_; }
  std::byte* data() const noexcept { return memory_.get(); }
  std::span<std::byte> bytes() const noexcept { return {memory_.get(), size_}; }
  // `length` bytes from `offset` on.
  IoVecs vectors(size_t offset, size_t length) const {
    return {iovec{memory_.get() + offset, length}};
  }

 private:
  static constexpr size_t kPage = 4096;

  static size_t least_alignment(size_t size) noexcept {
    return size < kPage ? sizeof(void*) : kPage;
  }
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  size_t size_;
};

}  // namespace vireo::blk
