// A linear framebuffer, as a kernel is told of it: 32 bits a pixel, little-endian 0x00RRGGBB, rows
// without gaps. A plain value.
#pragma once

#include <cstdint>

namespace vireo {

struct LinearFramebuffer {
  static constexpr uint32_t kPixel = 4;  // bytes

  uint64_t address = 0;            // guest-physical, below 4 GiB
  uint16_t width = 0, height = 0;  // pixels
  uint32_t stride() const noexcept { return width * kPixel; }
  uint32_t size() const noexcept { return stride() * height; }
};

}  // namespace vireo
