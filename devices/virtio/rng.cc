#include "devices/virtio/rng.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace vireo::dev {

namespace {

constexpr uint16_t kQueueSize = 8;  // with kMaxBytes it bounds the work of one turn of the loop

// Bytes filled in: less than all only when the host refuses.
size_t fill_random(const iovec& buffer) noexcept {
  size_t done = 0;
  while (done < buffer.iov_len) {
    const ssize_t n =
        ::getrandom(static_cast<std::byte*>(buffer.iov_base) + done, buffer.iov_len - done, 0);
    if (n < 0 && errno != EINTR) break;
    if (n > 0) done += static_cast<size_t>(n);
  }
  return done;
}

}  // namespace

Rng::Rng(std::string name, VirtioEnv env)
    : name_(std::move(name)),
      log_(std::move(env.log)),
      info_{.type = kTypeEntropy, .queue_sizes = {kQueueSize}} {}

void Rng::start_queue(uint16_t /*index*/, std::unique_ptr<Queue> queue, uint64_t /*features*/) {
  requests_.start(std::move(queue));
  requests_.spawn(serve());
}

Task<std::optional<QueueState>> Rng::stop_queue(uint16_t /*index*/) {
  return requests_.stop();
}

Task<void> Rng::serve() {
  Queue& queue = requests_.queue();
  do {
    while (auto chain = queue.pop()) answer(std::move(*chain));
    queue.notify();
  } while (co_await queue.kicked());
}

void Rng::answer(Chain chain) {
  if (chain.writable().remaining() == 0) log_.guest_noise(name_, "a request has no room");
  const auto wanted = std::min<uint64_t>(chain.writable().remaining(), kMaxBytes);
  size_t filled = 0;
  for (const iovec& buffer : chain.writable().take(wanted)) filled += fill_random(buffer);
  requests_.queue().push(std::move(chain), static_cast<uint32_t>(filled));
}

}  // namespace vireo::dev
