// One request of the driver's: the buffers of a descriptor chain, checked as a whole before a
// device sees any of it.
//
// Thread: the loop of the queue's device. The buffers are guest RAM: the guest may change them at
// any time, so a device copies out once what it decides on (read()) and never looks again.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "devices/virtio/ring.h"
#include "vmm/base/bytes.h"
#include "vmm/base/io_vecs.h"
#include "vmm/memory/guest_memory.h"

namespace vireo::dev {

class Queue;

// The buffers of a chain: first what the device reads, then what it writes.
struct ChainBuffers {
  IoVecs readable{};
  IoVecs writable{};
};

// More buffers than this in one chain are refused: as many as the host takes in one readv().
inline constexpr size_t kMaxChainBuffers = 1024;

struct ParsedChain {
  ChainBuffers buffers{};
  const char* error = nullptr;  // what is wrong with the chain; then the buffers are not to be used
};
// Follows the chain that starts at `head`, through an indirect table where `indirect` allows one
// (virtio 1.2, 2.7.5).
ParsedChain parse_chain(const GuestMemory& memory, const SplitRing& ring, uint16_t head,
                        bool indirect);

// A position in a list of buffers.
class BufferCursor {
 public:
  explicit BufferCursor(IoVecs buffers) noexcept;

  uint64_t remaining() const noexcept { return remaining_; }
  // The next `length` bytes (at most remaining()) as buffers, and moves past them.
  IoVecs take(uint64_t length);
  // All buffers, those that it has moved past included; as long as the cursor lives where it is.
  std::span<const iovec> buffers() const noexcept { return buffers_; }

 protected:
  // The rest of the current buffer, at most `limit` bytes, and moves past it. Not empty unless
  // `limit` is 0 or nothing remains.
  std::span<std::byte> advance(uint64_t limit) noexcept;

 private:
  IoVecs buffers_;
  size_t index_ = 0;   // the current buffer
  size_t offset_ = 0;  // in it
  uint64_t remaining_ = 0;
};

class ReadCursor : public BufferCursor {
 public:
  using BufferCursor::BufferCursor;
  size_t read(std::span<std::byte> into) noexcept;  // bytes copied: less only at the end
  template <Wire T>
  std::optional<T> read() noexcept {
    T value;
    if (remaining() < sizeof(T)) return std::nullopt;
    read(writable_bytes_of(value));
    return value;
  }
};

class WriteCursor : public BufferCursor {
 public:
  using BufferCursor::BufferCursor;
  size_t write(std::span<const std::byte> from) noexcept;  // bytes copied: less only at the end
};

// Belongs to whoever handles the request and goes back with Queue::push(). One that is dropped
// goes back by itself as "nothing written": a request is never lost to the driver.
class [[nodiscard]] Chain {
 public:
  Chain(Queue& queue, uint16_t head, ChainBuffers buffers) noexcept;
  Chain(Chain&& other) noexcept;
  Chain& operator=(Chain&&) = delete;
  ~Chain();

  uint16_t head() const noexcept { return head_; }
  ReadCursor& readable() noexcept { return readable_; }
  WriteCursor& writable() noexcept { return writable_; }

 private:
  friend Queue;
  Queue* queue_;  // nullptr once it went back
  uint16_t head_;
  uint64_t capacity_;  // of all writable buffers
  ReadCursor readable_;
  WriteCursor writable_;
};

}  // namespace vireo::dev
