#include "devices/virtio/net.h"

#include <utility>

#include <fmt/core.h>

#include "devices/net/mac.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

const NetConfig& checked(const std::string& name, const NetConfig& config) {
  if (is_multicast(config.mac) || config.mac == MacBytes{})
    throw ConfigError(fmt::format("{}: {} is no interface's address", name, to_string(config.mac)));
  if (config.mtu != 0 && config.mtu < Net::kMinMtu)
    throw ConfigError(fmt::format("{}: an MTU of {} is too small: it is {} to 65535", name,
                                  config.mtu, Net::kMinMtu));
  return config;
}

std::vector<uint16_t> queue_sizes(const std::string& name, uint16_t pairs) {
  if (pairs < 1 || pairs > Net::kMaxQueuePairs)
    throw ConfigError(fmt::format("{}: an interface has 1 to {} queue pairs, not {}", name,
                                  Net::kMaxQueuePairs, pairs));
  return std::vector<uint16_t>(2 * size_t{pairs} + 1, Net::kQueueSize);
}

}  // namespace

Net::Net(std::string name, VirtioEnv env, std::unique_ptr<NetBackend> backend,
         const NetConfig& config, State state)
    : restored_(state != State{}),
      net_{.config = checked(name, config),
           .name = std::move(name),
           .loop = env.loop,
           .log = std::move(env.log),
           .backend = std::move(backend),
           .state = std::move(state),
           .receive_limit{config.rates, env.loop.now()},
           .send_limit{config.rates, env.loop.now()}},
      info_{.type = kTypeNet,
            .features = net_.offered(),
            .queue_sizes = queue_sizes(net_.name, net_.pairs())},
      control_(net_, [this] { config_changed(); }),
      loan_(net_) {
  check_state();
  for (size_t i = 0; i < info_.queue_sizes.size(); ++i) queues_.emplace_back(net_.loop);
  for (uint16_t pair = 0; pair < net_.pairs(); ++pair) {
    NetQueue& receiving = queues_[size_t{2} * pair];
    NetQueue& sending = queues_[size_t{2} * pair + 1];
    receivers_.emplace_back(net_, pair, receiving, sending);
    senders_.emplace_back(net_, pair, sending, receiving);
  }
}

Net::~Net() = default;

void Net::check_state() const {
  const auto refuse = [&](const char* why) {
    throw StateError(fmt::format("the saved state of '{}' does not fit: {}", net_.name, why));
  };
  if (net_.state.queue_pairs < 1 || net_.state.queue_pairs > net_.pairs())
    refuse("another number of queues");
  if (net_.state.unicast.size() > State::kMaxAddresses ||
      net_.state.multicast.size() > State::kMaxAddresses)
    refuse("too many addresses");
  if (!net_.state.vlans.empty() && net_.state.vlans.size() != State::kVlans / 8)
    refuse("its VLANs");
  if ((net_.state.offloads & ~(info_.features & kNetGuestOffloads)) != 0)
    refuse("offloads that the network does not have");
  if (is_multicast(net_.state.mac)) refuse("its address");
}

std::vector<std::byte> Net::config() const {
  NetConfigSpace config;
  config.mac = net_.mac();
  const bool up = net_.link && net_.backend->link_up();
  config.status =
      static_cast<uint16_t>((up ? kNetLinkUp : 0) | (net_.state.announce ? kNetAnnounceNow : 0));
  config.max_queue_pairs = net_.pairs();
  config.mtu = net_.mtu();
  const auto bytes = bytes_of(config);
  return {bytes.begin(), bytes.end()};
}

void Net::set_link(bool up) {
  net_.link = up;
  loan_.set_link(up);
  config_changed();
}

void Net::machine_started() {
  net_.backend->open(net_.loop, *this);
}

void Net::machine_stopped() {
  net_.backend->close();
}

void Net::reset() {
  net_.state = {};
  net_.features = 0;
  configure();
}

void Net::save(StateWriter& writer) const {
  writer.put(net_.name + ".device", net_.state);
}

Task<void> Net::close() {
  const auto& [received, sent] = net_.statistics;
  net_.log.info(net_.name,
                fmt::format("received {} frames ({} bytes; {} dropped, {} filtered), sent {} "
                            "({} bytes; {} dropped, {} malformed)",
                            received.frames, received.bytes, received.dropped, received.refused,
                            sent.frames, sent.bytes, sent.dropped, sent.refused));
  co_return;
}

// --- what was negotiated ---

// 5.1.2: the control queue follows the pairs that there are, of which a driver without multiqueue
// knows one.
uint16_t Net::known_pairs() const noexcept {
  return net_.negotiated(kNetMultiQueue) ? net_.pairs() : uint16_t{1};
}

bool Net::is_control(uint16_t index) const noexcept {
  return net_.negotiated(kNetControlQueue) && index == 2 * known_pairs();
}

void Net::configure() {
  net_.backend->set_offloads(net_.to_guest());
  net_.backend->set_queue_pairs(net_.negotiated(kNetMultiQueue) ? net_.state.queue_pairs
                                                                : uint16_t{1});
  if (!restored_ || announced_ || !net_.negotiated(kNetAnnounce)) return;
  announced_ = true;
  net_.state.announce = true;
  config_changed();
}

void Net::start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) {
  net_.features = features;
  configure();
  QueueWork& work = queues_[index].work;
  work.start(std::move(queue));
  if (is_control(index)) return work.spawn(control_.serve(work.queue()));
  if (index >= 2 * known_pairs() || loan_.lend(index, work.queue())) return;
  work.spawn(index % 2 == 0 ? receivers_[index / 2].serve() : senders_[index / 2].serve());
}

Task<std::optional<QueueState>> Net::stop_queue(uint16_t index) {
  NetQueue& queue = queues_[index];
  loan_.end(index);
  if (queue.work) {
    queue.work.queue().stop();
    queue.pacing.stop();
  }
  return queue.work.stop();
}

}  // namespace vireo::dev
