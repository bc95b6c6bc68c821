// virtio-net on the wire (virtio 1.2, 5.1). Plain values; any thread. The header of each frame is
// in devices/net/header.h.
#pragma once

#include <array>
#include <cstdint>

#include "vmm/base/bytes.h"

namespace vireo::dev {

constexpr uint64_t net_feature(unsigned bit) noexcept {
  return uint64_t{1} << bit;
}
// Host: what the device takes; guest: what the driver takes (5.1.3).
inline constexpr uint64_t kNetHostChecksum = net_feature(0);
inline constexpr uint64_t kNetGuestChecksum = net_feature(1);
inline constexpr uint64_t kNetControlGuestOffloads = net_feature(2);
inline constexpr uint64_t kNetMtu = net_feature(3);
inline constexpr uint64_t kNetMac = net_feature(5);
inline constexpr uint64_t kNetGuestTcp4 = net_feature(7);
inline constexpr uint64_t kNetGuestTcp6 = net_feature(8);
inline constexpr uint64_t kNetGuestEcn = net_feature(9);
inline constexpr uint64_t kNetGuestUdp = net_feature(10);
inline constexpr uint64_t kNetHostTcp4 = net_feature(11);
inline constexpr uint64_t kNetHostTcp6 = net_feature(12);
inline constexpr uint64_t kNetHostEcn = net_feature(13);
inline constexpr uint64_t kNetHostUdp = net_feature(14);
inline constexpr uint64_t kNetMergeBuffers = net_feature(15);
inline constexpr uint64_t kNetStatus = net_feature(16);
inline constexpr uint64_t kNetControlQueue = net_feature(17);
inline constexpr uint64_t kNetControlReceive = net_feature(18);
inline constexpr uint64_t kNetControlVlan = net_feature(19);
inline constexpr uint64_t kNetControlReceiveExtra = net_feature(20);
inline constexpr uint64_t kNetAnnounce = net_feature(21);
inline constexpr uint64_t kNetMultiQueue = net_feature(22);
inline constexpr uint64_t kNetControlMac = net_feature(23);
inline constexpr uint64_t kNetGuestOffloads =
    kNetGuestChecksum | kNetGuestTcp4 | kNetGuestTcp6 | kNetGuestEcn | kNetGuestUdp;

using MacBytes = std::array<uint8_t, 6>;

// struct virtio_net_config (5.1.4), up to the fields of the features above.
struct NetConfigSpace {
  MacBytes mac{};
  le16 status;
  le16 max_queue_pairs;
  le16 mtu;
};
static_assert(sizeof(NetConfigSpace) == 12);
inline constexpr uint16_t kNetLinkUp = 1;
inline constexpr uint16_t kNetAnnounceNow = 2;

// The control queue (5.1.6.5): class and command, then the data, then a byte for the answer.
struct NetCommand {
  uint8_t klass = 0;
  uint8_t command = 0;
};
inline constexpr uint8_t kNetCommandOk = 0;
inline constexpr uint8_t kNetCommandError = 1;

inline constexpr uint8_t kNetClassReceive = 0;  // the data: a byte, 0 or 1
inline constexpr uint8_t kNetPromiscuous = 0;
inline constexpr uint8_t kNetAllMulticast = 1;
inline constexpr uint8_t kNetAllUnicast = 2;
inline constexpr uint8_t kNetNoMulticast = 3;
inline constexpr uint8_t kNetNoUnicast = 4;
inline constexpr uint8_t kNetNoBroadcast = 5;
inline constexpr uint8_t kNetClassMac = 1;
inline constexpr uint8_t kNetMacTable = 0;  // two lists, each a le32 count and as many addresses
inline constexpr uint8_t kNetMacAddress = 1;
inline constexpr uint8_t kNetClassVlan = 2;  // le16
inline constexpr uint8_t kNetVlanAdd = 0;
inline constexpr uint8_t kNetVlanDelete = 1;
inline constexpr uint8_t kNetClassAnnounce = 3;
inline constexpr uint8_t kNetAnnounceDone = 0;
inline constexpr uint8_t kNetClassQueues = 4;
inline constexpr uint8_t kNetQueuePairs = 0;  // le16
inline constexpr uint8_t kNetClassOffloads = 5;
inline constexpr uint8_t kNetOffloadsSet = 0;  // le64, of the bits in kNetGuestOffloads

}  // namespace vireo::dev
