// Memory for requests of the block layer's own, aligned as a node wants it. Any thread. An
// allocation that fails leaves the buffer empty: the data path says ENOMEM instead of throwing.
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
    if (::posix_memalign(&memory, std::max(alignment, sizeof(void*)), size) == 0)
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
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  size_t size_;
};

}  // namespace vireo::blk
