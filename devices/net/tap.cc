#include "devices/net/tap.h"

#include <linux/if_tun.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/core.h>
#include <net/if.h>

#include "devices/net/vhost_device.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

NetOffloads offloads_of(const TapDevice& tap) {
  if (!tap.headers) return {};
  return {.checksum = true, .tcp4 = true, .tcp6 = true, .tcp_ecn = true, .udp = tap.udp_offload};
}

NetTraits traits_of(const TapDevice& tap) {
  return {.queue_pairs = static_cast<uint16_t>(tap.queues.size()),
          .mtu = tap.mtu != 1500 ? tap.mtu : uint16_t{0},
          .from_guest = offloads_of(tap),
          .to_guest = offloads_of(tap)};
}

}  // namespace

TapNet::TapNet(std::string name, TapDevice tap, Vhost vhost, Logger log)
    : name_(std::move(name)),
      log_(std::move(log)),
      tap_(std::move(tap)),
      traits_(traits_of(tap_)),
      queues_(tap_.queues.size()) {
  if (!tap_.headers && vhost == Vhost::on)
    throw ConfigError("vhost=on: the TAP was opened without IFF_VNET_HDR");
  for (size_t pair = 0; pair < queues_.size() && tap_.headers; ++pair)
    queues_[pair].vhost = open_vhost_device(vhost);
}

std::optional<NetBackend::KernelPath> TapNet::vhost(uint16_t pair) const {
  const UniqueFd& device = queues_[pair].vhost;
  if (!device) return std::nullopt;
  return KernelPath{.device = device.get(), .tap = tap_.queues[pair].get()};
}

std::string TapNet::description() const {
  return fmt::format("tap {}{}", tap_.name, queues_.front().vhost ? " with vhost-net" : "");
}

// Edge-triggered: each arrival is told once, and what is not read then stays in the TAP.
void TapNet::open(EventLoop& loop, NetFrontend& frontend) {
  loop_ = &loop;
  frontend_ = &frontend;
  if (lost_) return;
  for (uint16_t pair = 0; pair < queues_.size(); ++pair)
    if (!queues_[pair].lent) watch(pair);
  watch_changes();
}

void TapNet::watch(uint16_t pair) {
  queues_[pair].watch = loop_->watch(tap_.queues[pair].get(), EPOLLIN | EPOLLOUT | EPOLLET,
                                     [this, pair](uint32_t events) { ready(pair, events); });
}

// Also what was told before this.
void TapNet::watch_changes() {
  const bool lent = std::ranges::any_of(queues_, &TapQueue::lent);
  if (!lent || lost_ || loop_ == nullptr || !tap_.changes)
    changes_.reset();
  else if (!changes_)
    changes_ = loop_->watch(tap_.changes.get(), EPOLLIN | EPOLLET,
                            [this](uint32_t) { look_after_changes(); });
}

// What they are is of no interest, nor whether some were lost (ENOBUFS).
void TapNet::look_after_changes() {
  char byte = 0;
  ssize_t length = 0;
  do {
    length = ::recv(tap_.changes.get(), &byte, sizeof(byte), 0);
  } while (length > 0 || (length < 0 && (errno == ENOBUFS || errno == EINTR)));
  for (uint16_t pair = 0; pair < queues_.size(); ++pair) {
    pollfd queue{.fd = tap_.queues[pair].get(), .events = 0, .revents = 0};
    if (queues_[pair].lent && ::poll(&queue, 1, 0) == 1)
      ready(pair, static_cast<uint32_t>(queue.revents));
  }
}

void TapNet::close() {
  news_.reset();
  changes_.reset();
  for (TapQueue& queue : queues_) queue.watch.reset();
  frontend_ = nullptr;
  loop_ = nullptr;
}

// An error is told of an attached queue whose interface is about to go, also while a read still
// finds it merely empty; nothing is told after that.
void TapNet::ready(uint16_t pair, uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && queues_[pair].attached) lose(EBADFD);
  if ((events & EPOLLOUT) != 0 && std::exchange(queues_[pair].full, false))
    frontend_->can_send(pair);
  if ((events & EPOLLIN) != 0 && queues_[pair].watch) frontend_->frames_arrived(pair);
}

// The frontend is told in a turn of its own: this is called from inside its calls.
void TapNet::lose(int error) {
  if (std::exchange(lost_, true)) return;
  log_.warn(name_, fmt::format("the TAP '{}' is gone: {}", tap_.name,
                               std::system_category().message(error)));
  news_ = loop_->after(std::chrono::nanoseconds(0), [this] {
    for (TapQueue& queue : queues_) queue.watch.reset();
    changes_.reset();
    frontend_->link_changed();
  });
}

void TapNet::set_offloads(const NetOffloads& to_guest) {
  offloads_ = to_guest;
  if (!tap_.headers) return;
  const unsigned flags = (to_guest.checksum ? TUN_F_CSUM : 0U) | (to_guest.tcp4 ? TUN_F_TSO4 : 0U) |
                         (to_guest.tcp6 ? TUN_F_TSO6 : 0U) |
                         (to_guest.tcp_ecn ? TUN_F_TSO_ECN : 0U) | (to_guest.udp ? TUN_F_UFO : 0U);
  if (::ioctl(tap_.queues.front().get(), TUNSETOFFLOAD, flags) != 0 && !lost_)
    log_.warn(name_, fmt::format("the TAP '{}' keeps its offloads: {}", tap_.name,
                                 last_error().message()));
}

// Of a TAP with several queues, the kernel spreads frames over those that are attached.
void TapNet::set_queue_pairs(uint16_t pairs) {
  for (uint16_t pair = 0; pair < queues_.size() && queues_.size() > 1; ++pair) {
    const bool wanted = pair < pairs;
    if (queues_[pair].attached == wanted) continue;
    ifreq request{};
    request.ifr_flags = wanted ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    if (::ioctl(tap_.queues[pair].get(), TUNSETQUEUE, &request) == 0)
      queues_[pair].attached = wanted;
    else if (!lost_)
      log_.warn(name_, fmt::format("queue {} of the TAP '{}' stays as it is: {}", pair, tap_.name,
                                   last_error().message()));
  }
}

std::span<const iovec> TapNet::with_header(const NetHeader& header, std::span<const iovec> frame) {
  if (!tap_.headers) return frame;
  parts_.clear();
  parts_.push_back({const_cast<NetHeader*>(&header), sizeof(header)});
  parts_.insert(parts_.end(), frame.begin(), frame.end());
  return parts_;
}

// An interface that is down, or a frame that the kernel finds fault with, is no reason to stop.
NetBackend::Sent TapNet::send(uint16_t pair, const NetHeader& header,
                              std::span<const iovec> frame) {
  if (lost_ || !queues_[pair].attached) return Sent::dropped;
  const std::span<const iovec> parts = with_header(header, frame);
  while (::writev(tap_.queues[pair].get(), parts.data(), static_cast<int>(parts.size())) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      queues_[pair].full = true;
      return Sent::full;
    }
    if (errno == EBADFD) lose(errno);
    return Sent::dropped;
  }
  return Sent::taken;
}

NetBackend::Received TapNet::receive(uint16_t pair, std::span<const iovec> into) {
  Received received;
  if (lost_ || !queues_[pair].attached) return received;
  const std::span<const iovec> parts = with_header(received.header, into);
  ssize_t length = 0;
  do {
    length = ::readv(tap_.queues[pair].get(), parts.data(), static_cast<int>(parts.size()));
  } while (length < 0 && errno == EINTR);
  if (length < 0) {
    if (errno == EBADFD) lose(errno);
    return received;
  }
  const size_t header = tap_.headers ? sizeof(NetHeader) : 0;
  if (static_cast<size_t>(length) <= header) return {};
  received.length = static_cast<size_t>(length) - header;
  // What the kernel knows of checksums is for those who have asked (virtio 1.2, 5.1.6.4.1).
  if (!offloads_.checksum) received.header.flags = 0;
  return received;
}

void TapNet::set_lent(uint16_t pair, bool lent) {
  queues_[pair].lent = lent;
  if (lent)
    queues_[pair].watch.reset();
  else if (loop_ != nullptr && !lost_)
    watch(pair);
  watch_changes();
}

}  // namespace vireo::dev
