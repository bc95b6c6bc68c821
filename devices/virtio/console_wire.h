// virtio-console on the wire (virtio 1.2, 5.3). Plain values; any thread.
#pragma once

#include <cstdint>

#include "vmm/base/bytes.h"

namespace vireo::dev {

inline constexpr uint64_t kConsoleFeatureSize = 1 << 0;
inline constexpr uint64_t kConsoleFeatureMultiport = 1 << 1;

struct ConsoleConfigSpace {
  le16 columns;
  le16 rows;
  le32 max_ports;        // without F_MULTIPORT of no meaning
  le32 emergency_write;  // without F_EMERG_WRITE of no meaning
};
static_assert(sizeof(ConsoleConfigSpace) == 12);

// With F_MULTIPORT, on the control queues (5.3.6.2); the name follows kConsolePortName.
struct ConsoleControlMessage {
  le32 id;  // of the port
  le16 event;
  le16 value;
};
static_assert(sizeof(ConsoleControlMessage) == 8);
inline constexpr uint16_t kConsoleDeviceReady = 0;  // the driver's
inline constexpr uint16_t kConsolePortAdd = 1;
inline constexpr uint16_t kConsolePortReady = 3;  // the driver's
inline constexpr uint16_t kConsolePortOpen = 6;
inline constexpr uint16_t kConsolePortName = 7;

}  // namespace vireo::dev
