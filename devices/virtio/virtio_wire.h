// What every virtio device and transport shares on the wire: status bits, feature bits and the
// structures of a split virtqueue (virtio 1.2: 2.1, 2.7, 6). Plain values; any thread.
#pragma once

#include <cstdint>

#include "vmm/base/bytes.h"

namespace vireo::dev {

// Device status (2.1).
inline constexpr uint8_t kStatusAcknowledge = 1;
inline constexpr uint8_t kStatusDriver = 2;
inline constexpr uint8_t kStatusDriverOk = 4;
inline constexpr uint8_t kStatusFeaturesOk = 8;
inline constexpr uint8_t kStatusNeedsReset = 64;
inline constexpr uint8_t kStatusFailed = 128;

// Features of the ring and the transport (6).
inline constexpr uint64_t kFeatureIndirect = uint64_t{1} << 28;
inline constexpr uint64_t kFeatureEventIdx = uint64_t{1} << 29;
inline constexpr uint64_t kFeatureVersion1 = uint64_t{1} << 32;

// Device types (5).
inline constexpr uint16_t kTypeNet = 1;
inline constexpr uint16_t kTypeBlock = 2;
inline constexpr uint16_t kTypeConsole = 3;
inline constexpr uint16_t kTypeEntropy = 4;
inline constexpr uint16_t kTypeScsi = 8;
inline constexpr uint16_t kTypeP9 = 9;
inline constexpr uint16_t kTypeInput = 18;

// One entry of a descriptor table (2.7.5).
struct Descriptor {
  le64 address;
  le32 length;
  le16 flags;
  le16 next;
};
static_assert(sizeof(Descriptor) == 16);
inline constexpr uint16_t kDescriptorNext = 1;
inline constexpr uint16_t kDescriptorWrite = 2;
inline constexpr uint16_t kDescriptorIndirect = 4;

// struct virtq_avail (2.7.6): flags, idx, ring[size], used_event.
inline constexpr uint16_t kAvailNoInterrupt = 1;
// struct virtq_used (2.7.8): flags, idx, ring[size] of this, avail_event.
struct UsedElement {
  le32 id;
  le32 length;
};
inline constexpr uint16_t kUsedNoNotify = 1;

inline constexpr uint16_t kMaxQueueSize = 32768;  // 2.7

}  // namespace vireo::dev
