// Bytes that wait for a command that does not read: kWindow, which is what the host may send, and
// two more, by which a terminal is told of their end.
//
// One thread. Its memory is taken with the first byte. No C++ library.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>

#include "agent/wire.h"

namespace vireo::agent {

class Fifo {
 public:
  constexpr Fifo() = default;
  Fifo(const Fifo&) = delete;
  Fifo& operator=(const Fifo&) = delete;
  ~Fifo() { std::free(bytes_); }

  bool empty() const noexcept { return count_ == 0; }
  // False, and nothing is taken, when they are more than there is room for.
  bool push(Bytes bytes) noexcept {
    if (bytes.size() > kCapacity - count_) return false;
    if (!bytes_) bytes_ = static_cast<std::byte*>(std::malloc(kCapacity));
    if (!bytes_) return false;
    const size_t end = (begin_ + count_) % kCapacity;
    const size_t first = std::min(bytes.size(), kCapacity - end);
    std::copy_n(bytes.begin(), first, bytes_ + end);
    std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(first), bytes.end(), bytes_);
    count_ += bytes.size();
    return true;
  }
  // What lies at the front in one piece.
  Bytes front() const noexcept { return {bytes_ + begin_, std::min(count_, kCapacity - begin_)}; }
  void pop(size_t count) noexcept {
    begin_ = (begin_ + count) % kCapacity;
    count_ -= count;
  }

 private:
  static constexpr size_t kCapacity = kWindow + 2;

  std::byte* bytes_ = nullptr;
  size_t begin_ = 0;
  size_t count_ = 0;
};

}  // namespace vireo::agent
