#include "devices/display/rfb/pixel_format.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vireo::display {

namespace {

constexpr uint16_t kColourMapSize = 256;

// The format whose values are the indexes of our colour map.
constexpr WirePixelFormat kMapped{.bits_per_pixel = 8,
                                  .depth = 8,
                                  .big_endian = 0,
                                  .true_colour = 1,
                                  .red_max = 7,
                                  .green_max = 7,
                                  .blue_max = 3,
                                  .red_shift = 0,
                                  .green_shift = 3,
                                  .blue_shift = 6};

uint64_t mask(uint16_t max, uint8_t shift) noexcept {
  return (uint64_t{std::bit_ceil(uint32_t{max} + 1)} - 1) << shift;
}

bool possible(const WirePixelFormat& wire) noexcept {
  const unsigned bits = wire.bits_per_pixel;
  if (bits != 8 && bits != 16 && bits != 32) return false;
  const uint8_t last_shift = std::max({wire.red_shift, wire.green_shift, wire.blue_shift});
  if (last_shift >= bits || wire.depth > bits) return false;
  const uint64_t red = mask(wire.red_max, wire.red_shift);
  const uint64_t green = mask(wire.green_max, wire.green_shift);
  const uint64_t blue = mask(wire.blue_max, wire.blue_shift);
  if ((red & green) != 0 || (red & blue) != 0 || (green & blue) != 0) return false;
  return (red | green | blue) >> bits == 0;
}

}  // namespace

PixelFormat::PixelFormat() : PixelFormat(4, 24, false, {{{255, 16}, {255, 8}, {255, 0}}}) {}

PixelFormat::PixelFormat(uint8_t bytes, uint8_t depth, bool big_endian,
                         std::array<Colour, 3> colours)
    : bytes_(bytes), depth_(depth), big_endian_(big_endian), colours_(colours) {
  uint64_t used = 0;
  for (size_t i = 0; i < 3; ++i) {
    const auto [max, shift] = colours[i];
    used |= mask(max, shift);
    for (uint32_t level = 0; level < 256; ++level)
      tables_[i][level] = (level * max + 127) / 255 << shift;
  }
  const auto is = [&](size_t i, uint8_t shift) {
    return colours[i].max == 255 && colours[i].shift == shift;
  };
  same_ = is(0, 16) && is(1, 8) && is(2, 0);
  const bool bytes_each = std::all_of(colours.begin(), colours.end(),
                                      [](const Colour& colour) { return colour.max == 255; });
  rgb888_ = bytes == 4 && depth == 24 && bytes_each;
  const bool low = (used & 0xff000000) == 0;
  compact_ = bytes == 4 && depth <= 24 && (low || (used & 0xff) == 0);
  compact_shift_ = low ? 0 : 8;
}

std::optional<PixelFormat> PixelFormat::from_wire(const WirePixelFormat& wire) noexcept {
  if (wire.true_colour == 0) {
    if (wire.bits_per_pixel != 8) return std::nullopt;
    std::optional<PixelFormat> mapped = from_wire(kMapped);
    mapped->colour_map_ = true;
    return mapped;
  }
  if (!possible(wire)) return std::nullopt;
  return PixelFormat(static_cast<uint8_t>(wire.bits_per_pixel / 8), wire.depth,
                     wire.big_endian != 0,
                     {{{wire.red_max, wire.red_shift},
                       {wire.green_max, wire.green_shift},
                       {wire.blue_max, wire.blue_shift}}});
}

WirePixelFormat PixelFormat::wire() const noexcept {
  return {.bits_per_pixel = static_cast<uint8_t>(bytes_ * 8),
          .depth = depth_,
          .big_endian = big_endian_,
          .true_colour = !colour_map_,
          .red_max = colours_[0].max,
          .green_max = colours_[1].max,
          .blue_max = colours_[2].max,
          .red_shift = colours_[0].shift,
          .green_shift = colours_[1].shift,
          .blue_shift = colours_[2].shift};
}

void PixelFormat::convert(std::span<const uint32_t> rgb,
                          std::span<uint32_t> values) const noexcept {
  if (same_)
    std::memcpy(values.data(), rgb.data(), rgb.size_bytes());
  else
    std::transform(rgb.begin(), rgb.end(), values.begin(),
                   [this](uint32_t colour) { return value(colour); });
}

std::byte* PixelFormat::put(std::span<const uint32_t> values, std::byte* to) const noexcept {
  if (bytes_ == 1) {
    for (const uint32_t value : values) *to++ = static_cast<std::byte>(value);
  } else if (bytes_ == 2) {
    for (const uint32_t value : values) {
      const auto native = static_cast<uint16_t>(value);
      const uint16_t ordered = big_endian_ ? byteswap(native) : native;
      std::memcpy(to, &ordered, sizeof(ordered));
      to += sizeof(ordered);
    }
  } else if (big_endian_) {
    for (const uint32_t value : values) {
      const uint32_t ordered = byteswap(value);
      std::memcpy(to, &ordered, sizeof(ordered));
      to += sizeof(ordered);
    }
  } else {
    std::memcpy(to, values.data(), values.size_bytes());
    to += values.size_bytes();
  }
  return to;
}

std::byte* PixelFormat::put_compact(std::span<const uint32_t> values,
                                    std::byte* to) const noexcept {
  if (!compact_) return put(values, to);
  const int first = compact_shift_ + (big_endian_ ? 16 : 0);
  const int last = compact_shift_ + (big_endian_ ? 0 : 16);
  for (const uint32_t value : values) {
    *to++ = static_cast<std::byte>(value >> first);
    *to++ = static_cast<std::byte>(value >> (compact_shift_ + 8));
    *to++ = static_cast<std::byte>(value >> last);
  }
  return to;
}

std::byte* PixelFormat::put_tight(std::span<const uint32_t> values, std::byte* to) const noexcept {
  if (!rgb888_) return put(values, to);
  for (const uint32_t value : values)
    for (const uint8_t colour : rgb(value)) *to++ = std::byte{colour};
  return to;
}

void put_colour_map(ByteWriter& out) {
  out.put(uint8_t{from_server::kColourMap});
  out.put(uint8_t{0});
  out.put(be16(0));
  out.put(be16(kColourMapSize));
  for (uint32_t value = 0; value < kColourMapSize; ++value) {
    out.put(be16(static_cast<uint16_t>((value & 7) * 0xffff / 7)));
    out.put(be16(static_cast<uint16_t>((value >> 3 & 7) * 0xffff / 7)));
    out.put(be16(static_cast<uint16_t>((value >> 6 & 3) * 0xffff / 3)));
  }
}

}  // namespace vireo::display
