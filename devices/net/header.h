// The header that goes with every frame between a virtio driver, its device and a TAP (virtio 1.2,
// 5.1.6; struct virtio_net_hdr_v1 of Linux): what of the frame is left for the other side to do.
// Plain values; any thread.
#pragma once

#include <cstdint>

#include "vmm/base/bytes.h"

namespace vireo::dev {

struct NetHeader {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  le16 header_length;    // of all headers before the payload: a hint
  le16 segment_size;     // of the payload, when gso_type says that the frame is to be cut
  le16 checksum_start;   // from here to the end of the frame …
  le16 checksum_offset;  // … goes the checksum that lies this far behind the start
  le16 buffers;          // of a received frame: how many buffers it fills
  bool operator==(const NetHeader& other) const noexcept {
    return flags == other.flags && gso_type == other.gso_type &&
           header_length == other.header_length && segment_size == other.segment_size &&
           checksum_start == other.checksum_start && checksum_offset == other.checksum_offset &&
           buffers == other.buffers;
  }
};
static_assert(sizeof(NetHeader) == 12);

inline constexpr uint8_t kNetNeedsChecksum = 1;  // flags: the checksum field holds a partial sum
inline constexpr uint8_t kNetDataValid = 2;      // flags: the checksum has been checked

inline constexpr uint8_t kGsoNone = 0;
inline constexpr uint8_t kGsoTcp4 = 1;
inline constexpr uint8_t kGsoUdp = 3;
inline constexpr uint8_t kGsoTcp6 = 4;
inline constexpr uint8_t kGsoEcn = 0x80;  // goes with the TCP ones

inline constexpr size_t kEthernetHeader = 14;
inline constexpr size_t kVlanTag = 4;
// The longest frame that anything here takes: an IP packet of 64 KiB in a tagged Ethernet frame.
inline constexpr size_t kMaxFrame = kEthernetHeader + kVlanTag + 65535;

}  // namespace vireo::dev
