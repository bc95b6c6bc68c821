// virtio-console on the wire (virtio 1.2, 5.3). Plain values; any thread.
#pragma once

#include <cstdint>

#include "vmm/base/bytes.h"

namespace vireo::dev {

inline constexpr uint64_t kConsoleFeatureSize = 1 << 0;

struct ConsoleConfigSpace {
  le16 columns;
  le16 rows;
  le32 max_ports;        // without F_MULTIPORT of no meaning
  le32 emergency_write;  // without F_EMERG_WRITE of no meaning
};
static_assert(sizeof(ConsoleConfigSpace) == 12);

}  // namespace vireo::dev
