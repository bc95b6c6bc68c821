// A queue of a network device, and what the two directions of a pair know of each other.
//
// Thread: the device's loop.
#pragma once

#include <cstddef>
#include <utility>

#include "devices/virtio/device.h"
#include "devices/virtio/queue_pacing.h"

namespace vireo::dev {

struct NetQueue {
  static constexpr size_t kTurn =
      size_t{512} * 1024;                             // bytes each way, and then it is others' turn
  static constexpr size_t kFrameCost = 512;           // what a frame counts for, besides its bytes
  static constexpr size_t kMuch = size_t{32} * 1024;  // bytes between two looks of the other

  explicit NetQueue(EventLoop& loop) noexcept : pacing(loop) {}

  // Since it was last asked. What goes the other way then acknowledges it, and can wait for more of
  // its kind, so that one interrupt or one notification does for several.
  bool has_moved_much() noexcept { return std::exchange(moved, 0) >= kMuch; }

  QueueWork work{};
  QueuePacing pacing;  // woken when the backend has news or the rate allows more
  size_t moved = 0;    // bytes, since the other direction looked
};

}  // namespace vireo::dev
