#include "devices/virtio/net.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "devices/net/mac.h"
#include "devices/net/vhost.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

constexpr size_t kTurn = size_t{512} * 1024;  // bytes each way, and then it is others' turn
constexpr size_t kFrameCost = 512;            // what a frame counts for, besides its bytes
constexpr size_t kMuch = size_t{32} * 1024;   // bytes one way between two looks at the other
constexpr std::chrono::microseconds kPause{30};
constexpr size_t kMostParts = 1000;  // of a frame that is sent as it lies
constexpr size_t kMostControlData = size_t{64} * 1024;

struct OffloadBit {
  bool NetOffloads::*offload;
  uint64_t host;   // the device takes it
  uint64_t guest;  // the driver takes it
};
constexpr std::array kOffloadBits{
    OffloadBit{&NetOffloads::checksum, kNetHostChecksum, kNetGuestChecksum},
    OffloadBit{&NetOffloads::tcp4, kNetHostTcp4, kNetGuestTcp4},
    OffloadBit{&NetOffloads::tcp6, kNetHostTcp6, kNetGuestTcp6},
    OffloadBit{&NetOffloads::tcp_ecn, kNetHostEcn, kNetGuestEcn},
    OffloadBit{&NetOffloads::udp, kNetHostUdp, kNetGuestUdp},
};

uint16_t mtu_of(const NetTraits& traits, const NetConfig& config) {
  return config.mtu != 0 ? config.mtu : traits.mtu;
}

uint64_t features_of(const NetTraits& traits, const NetConfig& config) {
  uint64_t features = kNetMac | kNetMergeBuffers | kNetStatus | kNetControlQueue |
                      kNetControlReceive | kNetControlVlan | kNetControlReceiveExtra |
                      kNetAnnounce | kNetControlMac;
  for (const OffloadBit& bit : kOffloadBits) {
    if (traits.from_guest.*bit.offload) features |= bit.host;
    if (traits.to_guest.*bit.offload) features |= bit.guest | kNetControlGuestOffloads;
  }
  if (mtu_of(traits, config) != 0) features |= kNetMtu;
  if (traits.queue_pairs > 1) features |= kNetMultiQueue;
  return features;
}

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
    : name_(std::move(name)),
      loop_(env.loop),
      log_(std::move(env.log)),
      config_(checked(name_, config)),
      backend_(std::move(backend)),
      info_{.type = kTypeNet,
            .features = features_of(backend_->traits(), config_),
            .queue_sizes = queue_sizes(name_, backend_->traits().queue_pairs)},
      state_(std::move(state)),
      restored_(state_ != State{}),
      receive_limit_(config_.rates, loop_.now()),
      send_limit_(config_.rates, loop_.now()) {
  check_state();
  for (size_t i = 0; i < info_.queue_sizes.size(); ++i)
    queues_.push_back(std::make_unique<QueueTasks>());
}

Net::~Net() = default;

void Net::check_state() const {
  const auto refuse = [&](const char* why) {
    throw StateError(fmt::format("the saved state of '{}' does not fit: {}", name_, why));
  };
  if (state_.queue_pairs < 1 || state_.queue_pairs > pairs()) refuse("another number of queues");
  if (state_.unicast.size() > State::kMaxAddresses ||
      state_.multicast.size() > State::kMaxAddresses)
    refuse("too many addresses");
  if (!state_.vlans.empty() && state_.vlans.size() != State::kVlans / 8) refuse("its VLANs");
  if ((state_.offloads & ~(info_.features & kNetGuestOffloads)) != 0)
    refuse("offloads that the network does not have");
  if (is_multicast(state_.mac)) refuse("its address");
}

uint16_t Net::pairs() const noexcept {
  return static_cast<uint16_t>(info_.queue_sizes.size() / 2);
}

const MacBytes& Net::mac() const noexcept {
  return state_.mac == MacBytes{} ? config_.mac : state_.mac;
}

std::vector<std::byte> Net::config() const {
  NetConfigSpace config;
  config.mac = mac();
  const bool up = link_ && backend_->link_up();
  config.status =
      static_cast<uint16_t>((up ? kNetLinkUp : 0) | (state_.announce ? kNetAnnounceNow : 0));
  config.max_queue_pairs = pairs();
  config.mtu = mtu_of(backend_->traits(), config_);
  const auto bytes = bytes_of(config);
  return {bytes.begin(), bytes.end()};
}

void Net::set_link(bool up) {
  link_ = up;
  for (uint16_t pair = 0; pair < pairs(); ++pair)
    if (VhostNet* const vhost = backend_->vhost(pair)) vhost->set_link(up);
  config_changed();
}

void Net::machine_started() {
  backend_->open(loop_, *this);
}

void Net::machine_stopped() {
  backend_->close();
}

void Net::reset() {
  state_ = {};
  features_ = 0;
  configure();
}

void Net::save(StateWriter& writer) const {
  writer.put(name_ + ".device", state_);
}

Task<void> Net::close() {
  const auto& [received, sent] = statistics_;
  log_.info(name_, fmt::format("received {} frames ({} bytes; {} dropped, {} filtered), sent {} "
                               "({} bytes; {} dropped, {} malformed)",
                               received.frames, received.bytes, received.dropped, received.refused,
                               sent.frames, sent.bytes, sent.dropped, sent.refused));
  co_return;
}

// --- what was negotiated ---

// 5.1.2: the control queue follows the pairs that there are, of which a driver without multiqueue
// knows one.
bool Net::is_control(uint16_t index) const noexcept {
  const uint16_t known = negotiated(kNetMultiQueue) ? pairs() : uint16_t{1};
  return negotiated(kNetControlQueue) && index == 2 * known;
}

NetOffloads Net::to_guest() const noexcept {
  const uint64_t bits = state_.offloads_set ? state_.offloads : features_ & kNetGuestOffloads;
  NetOffloads offloads;
  for (const OffloadBit& bit : kOffloadBits)
    offloads.*bit.offload = (bits & bit.guest) != 0 && (bits & kNetGuestChecksum) != 0;
  return offloads;
}

void Net::configure() {
  backend_->set_offloads(to_guest());
  backend_->set_queue_pairs(negotiated(kNetMultiQueue) ? state_.queue_pairs : uint16_t{1});
  if (!restored_ || announced_ || !negotiated(kNetAnnounce)) return;
  announced_ = true;
  state_.announce = true;
  config_changed();
}

void Net::start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) {
  features_ = features;
  configure();
  QueueTasks& tasks = *queues_[index];
  tasks.work.start(std::move(queue));
  if (is_control(index)) return tasks.work.spawn(serve_control(index));
  if (index >= 2 * (negotiated(kNetMultiQueue) ? pairs() : 1) || lend(index)) return;
  tasks.work.spawn(index % 2 == 0 ? receive_frames(index / 2) : send_frames(index / 2));
}

// To the kernel, where it takes the queue; it keeps to no rates.
bool Net::lend(uint16_t index) {
  const uint16_t pair = index / 2;
  VhostNet* const vhost = backend_->vhost(pair);
  if (vhost == nullptr || config_.rates.any()) return false;
  backend_->set_lent(pair, true);
  const auto error = vhost->start(index % 2, queues_[index]->work.queue(), features_, loop_);
  if (!error) return true;
  log_.warn(name_, fmt::format("goes on without vhost-net: {}", error.message()));
  backend_->set_lent(pair, false);
  return false;
}

void Net::end_loan(uint16_t index) {
  const uint16_t pair = index / 2;
  VhostNet* const vhost = pair < pairs() ? backend_->vhost(pair) : nullptr;
  if (vhost == nullptr || !vhost->running(index % 2)) return;
  vhost->stop(index % 2);
  if (!vhost->running(1 - index % 2)) backend_->set_lent(pair, false);
}

Task<std::optional<QueueState>> Net::stop_queue(uint16_t index) {
  QueueTasks& tasks = *queues_[index];
  end_loan(index);
  if (tasks.work) {
    tasks.work.queue().stop();
    tasks.wake.set();
    tasks.timer.reset();
  }
  return tasks.work.stop();
}

void Net::wake_after(QueueTasks& tasks, std::chrono::nanoseconds delay) {
  tasks.wake.reset();
  tasks.timer = loop_.after(delay, [&tasks] { tasks.wake.set(); });
}

// Whether another frame keeps to the limit; if not, the tasks are woken when one does.
bool Net::may_go(NetRateMeter& limit, QueueTasks& tasks) {
  if (!limit.limited()) return true;
  const auto wait = limit.wait(loop_.now());
  if (wait.count() <= 0) return true;
  wake_after(tasks, wait);
  return false;
}

// --- to the guest ---

Task<void> Net::receive_frames(uint16_t pair) {
  QueueTasks& tasks = receiving(pair);
  Queue& queue = tasks.work.queue();
  ReceiveBuffers buffers(queue, negotiated(kNetMergeBuffers));
  while (!queue.stopping()) {
    tasks.wake.reset();
    const Delivery delivery = deliver(pair, buffers);
    tasks.pausing = false;
    queue.notify();
    const bool acknowledges = has_moved_much(sending(pair));
    if (delivery == Delivery::later && acknowledges) {
      tasks.pausing = true;
      wake_after(tasks, kPause);
    }
    if (delivery == Delivery::no_buffers)
      co_await queue.kicked();
    else
      co_await tasks.wake.wait();
  }
  buffers.release();
}

// Since it was last asked. What goes the other way then acknowledges it, and can wait for more of
// its kind, so that one interrupt or one notification does for several.
bool Net::has_moved_much(QueueTasks& tasks) noexcept {
  return std::exchange(tasks.bytes, 0) >= kMuch;
}

Net::Delivery Net::deliver(uint16_t pair, ReceiveBuffers& buffers) {
  QueueTasks& tasks = receiving(pair);
  bool early = !tasks.pausing;
  for (size_t turn = 0; turn < kTurn; turn += kFrameCost) {
    if (buffers.waiting() && !put_received(buffers.resume())) return Delivery::no_buffers;
    if (!may_go(receive_limit_, tasks)) return Delivery::later;
    if (!buffers.fill()) return Delivery::no_buffers;
    const NetBackend::Received frame = backend_->receive(pair, buffers.space());
    if (frame.length == 0) return Delivery::later;
    turn += frame.length;
    receive_limit_.take(frame.length);
    if (!link_ || !wanted(buffers)) {
      ++statistics_.received.refused;
      continue;
    }
    statistics_.received.bytes += frame.length;
    tasks.bytes += frame.length;
    if (!put_received(buffers.put(frame.header, frame.length))) return Delivery::no_buffers;
    // The first of a batch does not wait for the others, nor for the news that there are none;
    // after a pause it has waited already.
    if (std::exchange(early, false)) tasks.work.queue().notify();
  }
  wake_after(tasks, std::chrono::nanoseconds(0));
  return Delivery::later;
}

bool Net::wanted(const ReceiveBuffers& buffers) const {
  return state_.promiscuous ||
         state_.accepts(buffers.start_of_frame(), mac(), negotiated(kNetControlVlan));
}

// False when the frame waits for more buffers.
bool Net::put_received(ReceiveBuffers::Put put) noexcept {
  if (put == ReceiveBuffers::Put::waits) return false;
  ++(put == ReceiveBuffers::Put::done ? statistics_.received.frames : statistics_.received.dropped);
  return true;
}

// --- from the guest ---

Task<void> Net::send_frames(uint16_t pair) {
  QueueTasks& tasks = sending(pair);
  Queue& queue = tasks.work.queue();
  do {
    for (bool again = true; again;) {
      const std::optional<size_t> turn = co_await send_some(pair);
      if (!turn) co_return;
      queue.notify();
      const bool acknowledges = *turn > 0 && has_moved_much(receiving(pair));
      again = *turn >= kTurn || acknowledges;
      if (!again) continue;
      wake_after(tasks, acknowledges ? kPause : std::chrono::microseconds(0));
      co_await tasks.wake.wait();
    }
  } while (co_await queue.kicked());
}

// What the frames of this turn count for; nothing when the queue is to stop.
Task<std::optional<size_t>> Net::send_some(uint16_t pair) {
  Queue& queue = sending(pair).work.queue();
  size_t turn = 0;
  while (turn < kTurn) {
    auto chain = queue.pop();
    if (!chain) break;
    turn += kFrameCost + chain->readable().remaining();
    const std::optional<OutgoingFrame> frame = outgoing(chain->readable());
    bool done = !frame || try_to_send(pair, *frame);
    if (!done) done = co_await wait_to_send(pair, *frame);
    if (!done) {
      queue.put_back(std::move(*chain));
      co_return std::nullopt;
    }
    queue.push(std::move(*chain), 0);
  }
  co_return turn;
}

// Nothing when it is not fit to be sent.
std::optional<Net::OutgoingFrame> Net::outgoing(ReadCursor& chain) {
  const std::optional<NetHeader> header = chain.read<NetHeader>();
  const auto length = static_cast<size_t>(chain.remaining());
  if (!header || !acceptable(*header, length)) {
    ++statistics_.sent.refused;
    log_.guest_noise(name_, "a frame to send is malformed");
    return std::nullopt;
  }
  OutgoingFrame frame{clean(*header), length, chain.take(length)};
  if (frame.parts.size() > kMostParts) {
    frame.copy.resize(length);
    ReadCursor(frame.parts).read(frame.copy);
    frame.parts = {{frame.copy.data(), length}};
  }
  return frame;
}

// False when the queue is to stop before the frame went out.
Task<bool> Net::wait_to_send(uint16_t pair, const OutgoingFrame& frame) {
  QueueTasks& tasks = sending(pair);
  do {
    tasks.work.queue().notify();
    co_await tasks.wake.wait();
    if (tasks.work.queue().stopping()) co_return false;
  } while (!try_to_send(pair, frame));
  co_return true;
}

// False when it has to wait until woken.
bool Net::try_to_send(uint16_t pair, const OutgoingFrame& frame) {
  sending(pair).wake.reset();
  if (!may_go(send_limit_, sending(pair))) return false;
  NetBackend::Sent sent = NetBackend::Sent::dropped;
  if (link_) sent = backend_->send(pair, frame.header, frame.parts);
  if (sent == NetBackend::Sent::full) return false;
  send_limit_.take(frame.length);
  if (sent == NetBackend::Sent::dropped) {
    ++statistics_.sent.dropped;
  } else {
    ++statistics_.sent.frames;
    statistics_.sent.bytes += frame.length;
    sending(pair).bytes += frame.length;
  }
  return true;
}

// 5.1.6.2: what a driver may leave to us is what was negotiated.
bool Net::acceptable(const NetHeader& header, size_t length) const noexcept {
  if (length < kEthernetHeader || length > kMaxFrame) return false;
  const bool partial = (header.flags & kNetNeedsChecksum) != 0;
  if (partial && (!negotiated(kNetHostChecksum) ||
                  size_t{header.checksum_start} + header.checksum_offset + 2 > length))
    return false;
  if (header.gso_type == kGsoNone) return true;
  if (!partial || header.segment_size == 0 || header.header_length > length) return false;
  if ((header.gso_type & kGsoEcn) != 0 && !negotiated(kNetHostEcn)) return false;
  switch (header.gso_type & static_cast<uint8_t>(~kGsoEcn)) {
    case kGsoTcp4:
      return negotiated(kNetHostTcp4);
    case kGsoTcp6:
      return negotiated(kNetHostTcp6);
    case kGsoUdp:
      return negotiated(kNetHostUdp);
    default:
      return false;
  }
}

// Without what means nothing to us.
NetHeader Net::clean(const NetHeader& header) noexcept {
  NetHeader clean;
  clean.flags = header.flags & kNetNeedsChecksum;
  if (clean.flags != 0) {
    clean.checksum_start = header.checksum_start;
    clean.checksum_offset = header.checksum_offset;
  }
  clean.gso_type = header.gso_type;
  if (clean.gso_type != kGsoNone) {
    clean.header_length = header.header_length;
    clean.segment_size = header.segment_size;
  }
  return clean;
}

// --- commands ---

Task<void> Net::serve_control(uint16_t index) {
  Queue& queue = queues_[index]->work.queue();
  do {
    while (auto chain = queue.pop()) {
      const auto command = chain->readable().read<NetCommand>();
      const bool ok = command && execute(*command, chain->readable());
      const uint8_t answer = ok ? kNetCommandOk : kNetCommandError;
      const size_t written = chain->writable().write(bytes_of(answer));
      queue.push(std::move(*chain), static_cast<uint32_t>(written));
    }
    queue.notify();
  } while (co_await queue.kicked());
}

bool Net::execute(NetCommand command, ReadCursor& cursor) {
  if (cursor.remaining() > kMostControlData) return false;
  std::vector<std::byte> data(static_cast<size_t>(cursor.remaining()));
  cursor.read(data);
  ByteReader reader(data);
  switch (command.klass) {
    case kNetClassReceive: {
      const auto on = reader.get<uint8_t>();
      return reader.at_end() && state_.set_receive_mode(command.command, on);
    }
    case kNetClassMac:
      return set_addresses(command.command, data);
    case kNetClassVlan: {
      const uint16_t vlan = reader.get<le16>();
      return reader.at_end() && command.command <= kNetVlanDelete &&
             state_.set_vlan(vlan, command.command == kNetVlanAdd);
    }
    case kNetClassAnnounce:
      return command.command == kNetAnnounceDone && finish_announcement();
    case kNetClassQueues: {
      const uint16_t wanted = reader.get<le16>();
      return reader.at_end() && command.command == kNetQueuePairs && set_queue_pairs(wanted);
    }
    case kNetClassOffloads: {
      const uint64_t wanted = reader.get<le64>();
      return reader.at_end() && command.command == kNetOffloadsSet && set_offloads(wanted);
    }
    default:
      return false;
  }
}

bool Net::set_addresses(uint8_t command, std::span<const std::byte> data) {
  if (command == kNetMacTable) return state_.set_addresses(data);
  if (command != kNetMacAddress || !state_.set_mac(data)) return false;
  config_changed();
  return true;
}

bool Net::finish_announcement() {
  state_.announce = false;
  config_changed();
  return true;
}

bool Net::set_queue_pairs(uint16_t wanted) {
  if (!negotiated(kNetMultiQueue) || wanted < 1 || wanted > pairs()) return false;
  state_.queue_pairs = wanted;
  backend_->set_queue_pairs(wanted);
  return true;
}

bool Net::set_offloads(uint64_t wanted) {
  if (!negotiated(kNetControlGuestOffloads) || (wanted & ~(features_ & kNetGuestOffloads)) != 0)
    return false;
  state_.offloads_set = true;
  state_.offloads = wanted;
  backend_->set_offloads(to_guest());
  return true;
}

}  // namespace vireo::dev
