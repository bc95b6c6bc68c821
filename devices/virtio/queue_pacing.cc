#include "devices/virtio/queue_pacing.h"

namespace vireo::dev {

void QueuePacing::wake_after(std::chrono::nanoseconds delay) {
  forget();
  timer_ = loop_.after(delay, [this] { wake(); });
}

Task<void> QueuePacing::pause(std::chrono::nanoseconds length) {
  wake_after(length);
  pausing_ = true;
  co_await woken();
  pausing_ = false;
  timer_.reset();
}

void QueuePacing::stop() {
  wake();
  timer_.reset();
}

}  // namespace vireo::dev
