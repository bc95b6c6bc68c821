#include "devices/virtio/p9.h"

#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

constexpr uint64_t kFeatureMountTag = 1 << 0;

const std::string& checked(const std::string& tag) {
  if (tag.empty() || tag.size() > P9::kMaxTag)
    throw ConfigError(fmt::format("the tag '{}' of a share has {} bytes: it has 1 to {}", tag,
                                  tag.size(), P9::kMaxTag));
  return tag;
}

}  // namespace

P9::P9(std::string /*name*/, VirtioEnv env, const P9Config& config)
    : tag_(checked(config.tag)),
      info_{.type = kTypeP9,
            .features = kFeatureMountTag,
            .queue_sizes = {kQueueSize},
            .direct = config.share.own_loop},
      server_(env.loop, config.share) {}

P9::~P9() = default;

// 5.9.4: the length of the tag, and the tag.
std::vector<std::byte> P9::config() const {
  ByteWriter bytes;
  bytes.put(le16(static_cast<uint16_t>(tag_.size())));
  bytes.put(bytes_of_text(tag_));
  return bytes.take();
}

void P9::save(StateWriter& /*writer*/) const {
  if (server_.is_attached())
    throw ConfigError(
        fmt::format("the share '{}' is mounted in the guest, and what is mounted "
                    "cannot be saved: unmount it there first",
                    tag_));
}

void P9::start_queue(uint16_t /*index*/, std::unique_ptr<Queue> queue, uint64_t /*features*/) {
  requests_.start(std::move(queue));
  requests_.spawn(serve());
}

void P9::notified(uint16_t /*index*/) {
  if (requests_) requests_.queue().kick();
}

Task<std::optional<QueueState>> P9::stop_queue(uint16_t /*index*/) {
  if (!requests_) co_return std::nullopt;
  requests_.queue().stop();
  co_await server_.drain();
  co_return co_await requests_.stop();
}

Task<void> P9::serve() {
  Queue& queue = requests_.queue();
  do {
    std::vector<Chain> waiting;
    while (auto chain = queue.pop()) waiting.push_back(std::move(*chain));
    const bool alone = waiting.size() == 1;
    for (Chain& chain : waiting) answer(std::move(chain), alone);
  } while (co_await queue.kicked());
}

// The chain goes back when the server has sent its reply.
void P9::answer(Chain chain, bool alone) {
  p9::Exchange exchange;
  exchange.alone = alone;
  exchange.request = chain.readable().take(chain.readable().remaining());
  exchange.reply = chain.writable().take(chain.writable().remaining());
  exchange.send = [this, held = std::make_shared<Chain>(std::move(chain))](uint32_t length) {
    requests_.queue().push(std::move(*held), length);
    requests_.queue().notify();
  };
  server_.serve(std::move(exchange));
}

}  // namespace vireo::dev
