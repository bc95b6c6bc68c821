// A queue over ring memory that the input decides, down to where the ring lies, and that changes
// while requests are under way.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "devices/virtio/queue.h"
#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/memory/layout.h"

using namespace vireo;
using namespace vireo::dev;

namespace {

constexpr uint64_t kArena = 0x4000;  // the part of memory that the input writes

struct Start {
  le16 size;
  le16 available_index;
  le16 used_index;
  uint8_t features = 0;
  uint8_t wild = 0;  // bit n: the n-th area lies at its raw address, not in the arena
  le64 descriptors;
  le64 available;
  le64 used;
};

uint64_t place(uint64_t address, bool wild, uint64_t alignment) {
  return wild ? address : address % kArena / alignment * alignment;
}

QueueLayout layout_of(const Start& start) {
  const uint16_t size = static_cast<uint16_t>(1U << (start.size % 10));
  return {(start.wild & 8) != 0 ? uint16_t{start.size} : size,
          place(start.descriptors, (start.wild & 1) != 0, 16),
          place(start.available, (start.wild & 2) != 0, 2),
          place(start.used, (start.wild & 4) != 0, 4)};
}

class Session {
 public:
  Session(const GuestMemory& memory, EventLoop& loop, const Start& start)
      : memory_(memory), loop_(loop), kick_(make_eventfd()) {
    const uint64_t features = ((start.features & 1) != 0 ? kFeatureIndirect : 0) |
                              ((start.features & 2) != 0 ? kFeatureEventIdx : 0);
    queue_ = Queue::create({memory_, loop_, kick_.get(), [] {}, [](std::string_view) {}},
                           layout_of(start), features, {start.available_index, start.used_index});
  }
  bool usable() const { return queue_ != nullptr; }

  void play(ByteReader& script) {
    while (!script.at_end() && script.ok()) step(script);
    chains_.clear();
    VMM_CHECK(queue_->in_flight() == 0, "dropped chains went back");
  }

 private:
  void step(ByteReader& script) {
    switch (script.get<uint8_t>() % 6) {
      case 0:
        return write(script);
      case 1:
        return pop();
      case 2:
        return finish(script.get<uint8_t>());
      case 3:
        if (chains_.size() == 1) {
          queue_->put_back(std::move(chains_.front()));
          chains_.clear();
        }
        return;
      case 4:
        return queue_->notify();
      case 5:
        // What a device does before it waits.
        if (queue_->kicked().await_ready()) pop();
        loop_.step();
        return;
    }
  }

  void write(ByteReader& script) {
    const uint64_t address = script.get<le16>() % kArena;
    const auto bytes = script.take(std::min<size_t>(script.get<uint8_t>(), script.rest().size()));
    (void)memory_.write(address, bytes);
  }

  void pop() {
    auto chain = queue_->pop();
    if (!chain) return;
    chains_.push_back(std::move(*chain));
  }

  void finish(uint8_t how) {
    if (chains_.empty()) return;
    Chain chain = take(how % chains_.size());
    if ((how & 0x80) != 0) return;  // forgets it
    std::vector<std::byte> part(how);
    chain.readable().read(part);
    const size_t written = chain.writable().write(part);
    for (const iovec& buffer : chain.writable().take(chain.writable().remaining() / 2))
      VMM_CHECK(buffer.iov_len > 0, "no empty buffers");
    queue_->push(std::move(chain), static_cast<uint32_t>(written));
  }

  Chain take(size_t index) {
    std::vector<Chain> rest;
    std::optional<Chain> taken;
    for (size_t i = 0; i < chains_.size(); ++i) {
      if (i == index)
        taken.emplace(std::move(chains_[i]));
      else
        rest.push_back(std::move(chains_[i]));
    }
    chains_.swap(rest);
    return std::move(*taken);
  }

  const GuestMemory& memory_;
  EventLoop& loop_;
  UniqueFd kick_;
  std::unique_ptr<Queue> queue_;
  std::vector<Chain> chains_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const GuestMemory memory(MemoryConfig{.size = 1 * MiB});
  static EventLoop loop;
  const auto arena = memory.range(0, 2 * kArena);
  std::fill(arena->begin(), arena->end(), std::byte{0});
  ByteReader script(std::as_bytes(std::span(data, size)));
  const auto start = script.get<Start>();
  Session session(memory, loop, start);
  if (session.usable()) session.play(script);
  return 0;
}
