// Colours as one viewer wants them: 8, 16 or 32 bits in either byte order (RFC 6143, 7.4).
//
// A value; one thread. "Values" are a viewer's pixels as numbers: pictures are converted to them
// first, and then compared, counted and written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "devices/display/rfb/rfb_wire.h"

namespace vireo::display {

class PixelFormat {
 public:
  // The one that costs nothing: 32 bits as the screen has them.
  PixelFormat();
  // Nothing when it cannot be: other widths than 8, 16 and 32 bits, colours beyond them or over
  // each other, a colour map of more than 8 bits. A viewer that asks for a colour map of 8 bits is
  // given ours: `needs_colour_map`.
  static std::optional<PixelFormat> from_wire(const WirePixelFormat& wire) noexcept;
  WirePixelFormat wire() const noexcept;

  bool needs_colour_map() const noexcept { return colour_map_; }
  size_t bytes() const noexcept { return bytes_; }
  // ZRLE's CPIXEL (7.7.5): three bytes when the colours fit in them.
  size_t compact_bytes() const noexcept { return compact_ ? 3 : bytes_; }
  // Tight's TPIXEL: three bytes, red first, when they are 8 bits each.
  bool is_rgb888() const noexcept { return rgb888_; }
  size_t tight_bytes() const noexcept { return rgb888_ ? 3 : bytes_; }

  uint32_t value(uint32_t rgb) const noexcept {
    return same_ ? rgb
                 : tables_[0][rgb >> 16 & 0xff] | tables_[1][rgb >> 8 & 0xff] |
                       tables_[2][rgb & 0xff];
  }
  // As many values as colours.
  void convert(std::span<const uint32_t> rgb, std::span<uint32_t> values) const noexcept;

  // Write values at `to` and return what follows them; room is the caller's business.
  std::byte* put(std::span<const uint32_t> values, std::byte* to) const noexcept;
  std::byte* put_compact(std::span<const uint32_t> values, std::byte* to) const noexcept;
  std::byte* put_tight(std::span<const uint32_t> values, std::byte* to) const noexcept;

  // Red, green and blue of a value of a format that is_rgb888().
  std::array<uint8_t, 3> rgb(uint32_t value) const noexcept {
    return {static_cast<uint8_t>(value >> colours_[0].shift),
            static_cast<uint8_t>(value >> colours_[1].shift),
            static_cast<uint8_t>(value >> colours_[2].shift)};
  }

 private:
  struct Colour {
    uint16_t max;
    uint8_t shift;
  };
  PixelFormat(uint8_t bytes, uint8_t depth, bool big_endian, std::array<Colour, 3> colours);

  uint8_t bytes_;
  uint8_t depth_;
  bool big_endian_;
  bool colour_map_ = false;
  std::array<Colour, 3> colours_;  // red, green, blue
  bool same_;                      // as the screen's, but for the byte order
  bool rgb888_;
  bool compact_;
  uint8_t compact_shift_;                              // of the three bytes that count
  std::array<std::array<uint32_t, 256>, 3> tables_{};  // a colour's share of a value
};

// Our colour map, which viewers that need one are sent: three bits red, three green, two blue.
void put_colour_map(ByteWriter& out);

}  // namespace vireo::display
