// virtio-input on the wire (virtio 1.2, 5.8). Types and codes are those of
// <linux/input-event-codes.h>. Plain values; any thread.
#pragma once

#include <array>
#include <cstdint>

#include "vmm/base/bytes.h"

namespace vireo::dev {

// What `select` of the configuration space asks for.
inline constexpr uint8_t kInputName = 0x01;
inline constexpr uint8_t kInputIds = 0x03;
inline constexpr uint8_t kInputEventBits = 0x11;  // of the event type in `subselect`
inline constexpr uint8_t kInputAbsInfo = 0x12;    // of the axis in `subselect`

struct InputConfigSpace {
  uint8_t select = 0, subselect = 0;
  uint8_t size = 0;  // of the answer; 0: there is no such thing
  std::array<uint8_t, 5> reserved{};
  std::array<std::byte, 128> answer{};
};
static_assert(sizeof(InputConfigSpace) == 136);

struct InputIds {
  le16 bus, vendor, product, version;
};
static_assert(sizeof(InputIds) == 8);

struct InputAbsInfo {
  le32 least, most, fuzz, flat, resolution;
};
static_assert(sizeof(InputAbsInfo) == 20);

struct InputEventWire {
  le16 type, code;
  le32 value;
};
static_assert(sizeof(InputEventWire) == 8);

}  // namespace vireo::dev
