// The receive buffers of a network device: taken from the queue ahead of the frames, so that a
// backend reads straight into them, and given back with the frame's header in front.
//
// A frame fills as many buffers as it needs when they are mergeable (virtio 1.2, 5.1.6.4), else it
// has to fit the next one. What lies behind the last buffer at hand spills into memory of our own
// and waits there for the driver to give more.
//
// Thread: the device's loop. Owns the chains it took; release() before the queue stops.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "devices/net/header.h"
#include "devices/virtio/queue.h"
#include "vmm/base/io_vecs.h"

namespace vireo::dev {

class ReceiveBuffers {
 public:
  // `mergeable` as negotiated.
  ReceiveBuffers(Queue& queue, bool mergeable);
  ReceiveBuffers(const ReceiveBuffers&) = delete;
  ReceiveBuffers& operator=(const ReceiveBuffers&) = delete;

  // Takes buffers until the expected frame fits or there are no more; false when there is none.
  bool fill();
  // Where the next frame goes, however long it is; after fill() was true.
  std::span<const iovec> space() const noexcept { return space_; }

  enum class Put : uint8_t { done, waits, dropped };
  // The frame that was read into space(): gives its buffers to the driver (who is not notified
  // yet). Waits: for more buffers; no other frame until resume() says otherwise.
  Put put(const NetHeader& header, size_t length);
  // Goes on with the frame that waits.
  Put resume();
  bool waiting() const noexcept { return pending_.has_value(); }
  // The start of the frame in space(), as it was read.
  std::array<std::byte, kEthernetHeader + kVlanTag> start_of_frame() const noexcept;

  // Gives all buffers back as if they had never been taken; a frame that waits is lost.
  void release();

 private:
  struct Buffer {
    std::span<const iovec> parts() noexcept { return chain.writable().buffers(); }
    Chain chain;
    size_t size;
  };
  struct Pending {
    NetHeader header;
    size_t length;
  };
  bool take_one();
  void lay_out();
  size_t room() const noexcept { return total_ - sizeof(NetHeader); }
  void learn(size_t length) noexcept;
  void spread(NetHeader header, size_t length);

  Queue& queue_;
  const bool mergeable_;
  size_t expected_;  // bytes of a frame
  std::deque<Buffer> buffers_;
  size_t total_ = 0;          // bytes in all of them
  size_t parts_ = 0;          // parts of all of them
  IoVecs space_;              // behind the first one's header, and spill_
  size_t room_laid_out_ = 0;  // bytes of buffers in space_
  std::vector<std::byte> spill_;
  std::optional<Pending> pending_;
};

}  // namespace vireo::dev
