#include "devices/virtio/net_interface.h"

#include <array>

namespace vireo::dev {

namespace {

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

}  // namespace

uint64_t NetInterface::offered() const noexcept {
  const NetTraits& traits = backend->traits();
  uint64_t offered = kNetMac | kNetMergeBuffers | kNetStatus | kNetControlQueue |
                     kNetControlReceive | kNetControlVlan | kNetControlReceiveExtra | kNetAnnounce |
                     kNetControlMac;
  for (const OffloadBit& bit : kOffloadBits) {
    if (traits.from_guest.*bit.offload) offered |= bit.host;
    if (traits.to_guest.*bit.offload) offered |= bit.guest | kNetControlGuestOffloads;
  }
  if (mtu() != 0) offered |= kNetMtu;
  if (traits.queue_pairs > 1) offered |= kNetMultiQueue;
  return offered;
}

NetOffloads NetInterface::to_guest() const noexcept {
  const uint64_t bits = state.offloads_set ? state.offloads : features & kNetGuestOffloads;
  NetOffloads offloads;
  for (const OffloadBit& bit : kOffloadBits)
    offloads.*bit.offload = (bits & bit.guest) != 0 && (bits & kNetGuestChecksum) != 0;
  return offloads;
}

bool NetInterface::may_go(NetRateMeter& limit, NetQueue& queue) const {
  if (!limit.limited()) return true;
  const auto wait = limit.wait(loop.now());
  if (wait.count() <= 0) return true;
  queue.pacing.wake_after(wait);
  return false;
}

}  // namespace vireo::dev
