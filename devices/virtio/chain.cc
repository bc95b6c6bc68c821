#include "devices/virtio/chain.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "devices/virtio/queue.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

// One copy, from which all decisions are made: the compiler may not read the guest's again.
Descriptor copy_descriptor(std::span<const std::byte> table, size_t index) noexcept {
  Descriptor descriptor;
  std::memcpy(&descriptor, table.data() + index * sizeof(Descriptor), sizeof(Descriptor));
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return descriptor;
}

class ChainWalk {
 public:
  explicit ChainWalk(const GuestMemory& memory) noexcept : memory_(memory) {}

  // What is wrong, or nullptr.
  const char* follow(std::span<const std::byte> table, size_t index, bool indirect) {
    const size_t count = table.size() / sizeof(Descriptor);
    for (size_t steps = 0;; ++steps) {
      if (index >= count) return "a descriptor index is beyond its table";
      if (steps == count) return "a descriptor chain has a loop";
      const Descriptor descriptor = copy_descriptor(table, index);
      if ((descriptor.flags & kDescriptorIndirect) != 0)
        return indirect ? follow_indirect(descriptor) : "an indirect descriptor is not allowed";
      if (const char* error = add(descriptor)) return error;
      if ((descriptor.flags & kDescriptorNext) == 0) return nullptr;
      index = descriptor.next;
    }
  }

  ChainBuffers take() noexcept { return std::move(buffers_); }

 private:
  // 2.7.5.3: the table ends the chain; the write flag on it means nothing.
  const char* follow_indirect(const Descriptor& descriptor) {
    if ((descriptor.flags & kDescriptorNext) != 0) return "an indirect descriptor has a successor";
    if (descriptor.length == 0 || descriptor.length % sizeof(Descriptor) != 0)
      return "an indirect table has an odd length";
    const auto table = memory_.range(descriptor.address, descriptor.length);
    if (!table) return "an indirect table is not in RAM";
    return follow(*table, 0, false);
  }

  const char* add(const Descriptor& descriptor) {
    const bool write = (descriptor.flags & kDescriptorWrite) != 0;
    if (!write && !buffers_.writable.empty()) return "a readable buffer follows a writable one";
    if (descriptor.length == 0) return "a buffer is empty";
    if (buffers_.readable.size() + buffers_.writable.size() == kMaxChainBuffers)
      return "a descriptor chain has too many buffers";
    const auto bytes = memory_.range(descriptor.address, descriptor.length);
    if (!bytes) return "a buffer is not in RAM";
    total_ += descriptor.length;
    if (total_ > std::numeric_limits<uint32_t>::max()) return "a descriptor chain is too long";
    (write ? buffers_.writable : buffers_.readable).push_back({bytes->data(), bytes->size()});
    return nullptr;
  }

  const GuestMemory& memory_;
  ChainBuffers buffers_;
  uint64_t total_ = 0;
};

}  // namespace

ParsedChain parse_chain(const GuestMemory& memory, const SplitRing& ring, uint16_t head,
                        bool indirect) {
  ChainWalk walk(memory);
  const char* const error = walk.follow(ring.descriptors(), head, indirect);
  return {walk.take(), error};
}

BufferCursor::BufferCursor(IoVecs buffers) noexcept
    : buffers_(std::move(buffers)), remaining_(total_length(buffers_)) {}

std::span<std::byte> BufferCursor::advance(uint64_t limit) noexcept {
  if (limit == 0 || remaining_ == 0) return {};
  const iovec& buffer = buffers_[index_];
  const size_t length = std::min<uint64_t>(buffer.iov_len - offset_, limit);
  const std::span<std::byte> part{static_cast<std::byte*>(buffer.iov_base) + offset_, length};
  offset_ += length;
  remaining_ -= length;
  if (offset_ == buffer.iov_len) {
    ++index_;
    offset_ = 0;
  }
  return part;
}

IoVecs BufferCursor::take(uint64_t length) {
  VMM_CHECK(length <= remaining_, "a device takes no more than there is");
  IoVecs taken;
  while (length > 0) {
    const std::span<std::byte> part = advance(length);
    taken.push_back({part.data(), part.size()});
    length -= part.size();
  }
  return taken;
}

size_t ReadCursor::read(std::span<std::byte> into) noexcept {
  size_t done = 0;
  while (done < into.size() && remaining() > 0) {
    const std::span<std::byte> part = advance(into.size() - done);
    std::memcpy(into.data() + done, part.data(), part.size());
    done += part.size();
  }
  return done;
}

size_t WriteCursor::write(std::span<const std::byte> from) noexcept {
  size_t done = 0;
  while (done < from.size() && remaining() > 0) {
    const std::span<std::byte> part = advance(from.size() - done);
    std::memcpy(part.data(), from.data() + done, part.size());
    done += part.size();
  }
  return done;
}

Chain::Chain(Queue& queue, uint16_t head, ChainBuffers buffers) noexcept
    : queue_(&queue),
      head_(head),
      capacity_(0),
      readable_(std::move(buffers.readable)),
      writable_(std::move(buffers.writable)) {
  capacity_ = writable_.remaining();
}

Chain::Chain(Chain&& other) noexcept
    : queue_(std::exchange(other.queue_, nullptr)),
      head_(other.head_),
      capacity_(other.capacity_),
      readable_(std::move(other.readable_)),
      writable_(std::move(other.writable_)) {}

Chain::~Chain() {
  if (queue_ == nullptr) return;
  Queue& queue = *queue_;
  queue.push(std::move(*this), 0);
  queue.notify();
}

}  // namespace vireo::dev
