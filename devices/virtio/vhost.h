// The kernel's vhost-net: for one queue pair it carries frames between the rings in guest memory
// and a TAP, in a thread of its own, while this process only passes interrupts on.
//
// Thread: constructed on the control thread; everything else on the loop. The descriptors, of
// /dev/vhost-net and of the TAP, are the backend's and outlive it.
#pragma once

#include <array>
#include <cstdint>
#include <system_error>

#include "devices/virtio/queue.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"

namespace vireo::dev {

class VhostNet {
 public:
  VhostNet(int device, int tap) noexcept : device_(device), tap_(tap) {}

  // Hands a ring over (0 receives, 1 sends), with the negotiated features. When the kernel can not
  // have it, an error: then the queue is as before.
  std::error_code start(size_t ring, Queue& queue, uint64_t features, EventLoop& loop);
  // The queue is the caller's again, and knows how far the kernel came. Idempotent.
  void stop(size_t ring);
  bool running(size_t ring) const noexcept { return rings_[ring].queue != nullptr; }
  // Whether frames pass the rings that are running.
  void set_link(bool up);

 private:
  struct Ring {
    Queue* queue = nullptr;  // lent to the kernel
    UniqueFd call{};
    EventLoop::Registration watch{};
  };
  std::error_code prepare(const Queue::Lent& lent, uint64_t features);
  std::error_code set_up(size_t ring, const Queue::Lent& lent);
  std::error_code connect(size_t ring, int tap) const;

  const int device_;
  const int tap_;
  bool owned_ = false;  // the kernel has made its thread
  bool link_ = true;
  std::array<Ring, 2> rings_;
};

}  // namespace vireo::dev
