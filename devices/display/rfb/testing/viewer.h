// The viewer's half of RFB: decodes every encoding that the server has into a picture of values.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "devices/display/rfb/pixel_format.h"
#include "devices/display/rfb/rfb_wire.h"

namespace vireo::display {

// Nothing but what the descriptions of the encodings say; whatever is wrong is an exception.
class Viewer {
 public:
  using Bytes = std::vector<std::byte>;
  using Read = std::function<Bytes(size_t)>;  // exactly so many

  explicit Viewer(Read read) : read_(std::move(read)) {}

  Size size{};
  std::vector<uint32_t> picture{};  // values of the format
  PixelFormat format{};
  std::map<int32_t, int> seen{};  // rectangles of each encoding
  size_t pixels_sent = 0;         // in rectangles but CopyRect
  int colour_maps = 0, xvp_code = -1, desktop_reason = -1, desktop_status = -1;
  std::array<int, 16> tight_controls{};

  void resize(Size to) {
    size = to;
    picture.assign(size_t{to.width} * to.height, 0);
  }

  // One message, whatever it is; its type.
  uint8_t message() {
    const uint8_t type = u8();
    switch (type) {
      case from_server::kUpdate:
        update();
        break;
      case from_server::kColourMap:
        colour_map();
        break;
      case from_server::kXvp:
        xvp();
        break;
      default:
        throw std::runtime_error("an unknown message " + std::to_string(type));
    }
    return type;
  }

 private:
  uint8_t u8() { return std::to_integer<uint8_t>(read_(1)[0]); }
  template <class T>
  T get() {
    const Bytes bytes = read_(sizeof(T));
    return ByteReader(bytes).get<T>();
  }
  void check(bool good, const char* what) {
    if (!good) throw std::runtime_error(what);
  }

  void colour_map() {
    u8();
    check(get<be16>() == 0 && get<be16>() == 256, "a strange colour map");
    read_(256 * 6);
    ++colour_maps;
  }
  void xvp() {
    u8();
    check(u8() == 1, "a strange version of xvp");
    xvp_code = u8();
  }

  void update() {
    u8();
    const size_t count = get<be16>();
    for (size_t i = 0; i < count || count == 0xffff; ++i) {
      const auto wire = get<WireRect>();
      const auto encoding = static_cast<int32_t>(uint32_t{wire.encoding});
      const Rect rect{.x = wire.x, .y = wire.y, .width = wire.width, .height = wire.height};
      ++seen[encoding];
      if (encoding == encoding::kLastRect) return;
      if (encoding >= 0)
        check(rect.x + rect.width <= size.width && rect.y + rect.height <= size.height &&
                  rect.width > 0 && rect.height > 0,
              "a rectangle that is empty or beyond the screen");
      if (encoding > encoding::kCopyRect || encoding == encoding::kRaw)
        pixels_sent += size_t{rect.width} * rect.height;
      decode(encoding, rect);
    }
  }

  void decode(int32_t encoding, const Rect& rect) {
    switch (encoding) {
      case encoding::kRaw:
        return raw(rect);
      case encoding::kCopyRect:
        return copy(rect);
      case encoding::kHextile:
        return hextile(rect);
      case encoding::kTight:
        return tight(rect);
      case encoding::kZrle:
        return zrle(rect);
      case encoding::kDesktopSize:
        return resize({rect.width, rect.height});
      case encoding::kExtendedDesktopSize:
        return desktop_size(rect);
      case encoding::kCursor:
        read_(size_t{rect.width} * rect.height * format.bytes());
        read_(size_t{rect.height} * ((size_t{rect.width} + 7) / 8));
        return;
      case encoding::kExtendedKey:
        return;
      default:
        throw std::runtime_error("an unknown encoding " + std::to_string(encoding));
    }
  }

  void desktop_size(const Rect& rect) {
    desktop_reason = rect.x;
    desktop_status = rect.y;
    const uint8_t screens = u8();
    read_(3 + size_t{screens} * 16);
    const Size now{rect.width, rect.height};
    if (now != size) resize(now);
  }

  uint32_t& at(size_t x, size_t y) { return picture.at(y * size.width + x); }
  void fill(const Rect& rect, uint32_t value) {
    for (size_t y = rect.y; y < size_t(rect.y + rect.height); ++y)
      for (size_t x = rect.x; x < size_t(rect.x + rect.width); ++x) at(x, y) = value;
  }
  template <class Next>
  void each(const Rect& rect, Next next) {
    for (size_t y = rect.y; y < size_t(rect.y + rect.height); ++y)
      for (size_t x = rect.x; x < size_t(rect.x + rect.width); ++x) at(x, y) = next();
  }

  // A pixel of the format's bytes in the format's order.
  uint32_t pixel(ByteReader& in) {
    const Bytes bytes = copy_of(in.take(format.bytes()));
    uint32_t value = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      const size_t place = format.wire().big_endian ? bytes.size() - 1 - i : i;
      value |= std::to_integer<uint32_t>(bytes[i]) << 8 * place;
    }
    return value;
  }
  // CPIXEL: the pixel without the byte that no colour is in.
  uint32_t compact(ByteReader& in) {
    if (format.compact_bytes() == format.bytes()) return pixel(in);
    const WirePixelFormat wire = format.wire();
    const bool low = (wire.red_max << wire.red_shift | wire.green_max << wire.green_shift |
                      wire.blue_max << wire.blue_shift) >>
                         24 ==
                     0;
    Bytes bytes = copy_of(in.take(3));
    bytes.insert(low == (wire.big_endian != 0) ? bytes.begin() : bytes.end(), std::byte{0});
    ByteReader whole(bytes);
    return pixel(whole);
  }
  uint32_t tight_pixel(ByteReader& in) {
    if (!format.is_rgb888()) return pixel(in);
    const Bytes bytes = copy_of(in.take(3));
    return rgb(std::to_integer<uint8_t>(bytes[0]), std::to_integer<uint8_t>(bytes[1]),
               std::to_integer<uint8_t>(bytes[2]));
  }
  uint32_t rgb(uint32_t red, uint32_t green, uint32_t blue) const {
    const WirePixelFormat wire = format.wire();
    return red << wire.red_shift | green << wire.green_shift | blue << wire.blue_shift;
  }
  static Bytes copy_of(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

  void raw(const Rect& rect) {
    const Bytes bytes = read_(size_t{rect.width} * rect.height * format.bytes());
    ByteReader in(bytes);
    each(rect, [&] { return pixel(in); });
  }

  void copy(const Rect& rect) {
    const size_t from_x = get<be16>(), from_y = get<be16>();
    check(from_x + rect.width <= size.width && from_y + rect.height <= size.height,
          "copies from beyond the screen");
    const std::vector<uint32_t> before = picture;
    for (size_t y = 0; y < rect.height; ++y)
      for (size_t x = 0; x < rect.width; ++x)
        at(rect.x + x, rect.y + y) = before[(from_y + y) * size.width + from_x + x];
  }

  uint32_t read_pixel() {
    const Bytes bytes = read_(format.bytes());
    ByteReader in(bytes);
    return pixel(in);
  }
  void hextile(const Rect& rect) {
    std::optional<uint32_t> background, foreground;
    for (size_t y = 0; y < rect.height; y += 16)
      for (size_t x = 0; x < rect.width; x += 16)
        hextile_tile({.x = static_cast<uint16_t>(rect.x + x),
                      .y = static_cast<uint16_t>(rect.y + y),
                      .width = static_cast<uint16_t>(std::min<size_t>(16, rect.width - x)),
                      .height = static_cast<uint16_t>(std::min<size_t>(16, rect.height - y))},
                     background, foreground);
  }
  void hextile_tile(const Rect& tile, std::optional<uint32_t>& background,
                    std::optional<uint32_t>& foreground) {
    const uint8_t flags = u8();
    if ((flags & 1) != 0) {
      background = foreground = std::nullopt;
      return raw(tile);
    }
    if ((flags & 2) != 0) background = read_pixel();
    if ((flags & 4) != 0) foreground = read_pixel();
    fill(tile, background.value());
    if ((flags & 8) == 0) return;
    const size_t count = u8();
    for (size_t i = 0; i < count; ++i) {
      if ((flags & 16) != 0) foreground = read_pixel();
      const unsigned place = u8(), extent = u8();
      const Rect subrect{.x = static_cast<uint16_t>(tile.x + (place >> 4)),
                         .y = static_cast<uint16_t>(tile.y + (place & 15)),
                         .width = static_cast<uint16_t>((extent >> 4) + 1),
                         .height = static_cast<uint16_t>((extent & 15) + 1)};
      check(subrect.x + subrect.width <= tile.x + tile.width &&
                subrect.y + subrect.height <= tile.y + tile.height,
            "a rectangle beyond its tile");
      fill(subrect, foreground.value());
    }
    if ((flags & 16) != 0) foreground = std::nullopt;
  }

  class Inflater {
   public:
    Inflater() { ::inflateInit(&zlib_); }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    ~Inflater() { ::inflateEnd(&zlib_); }
    // All that these bytes give, which is `most` at most.
    Bytes inflate(Bytes in, size_t most) {
      Bytes out(most + 1);
      zlib_.next_in = reinterpret_cast<Bytef*>(in.data());
      zlib_.avail_in = static_cast<uInt>(in.size());
      zlib_.next_out = reinterpret_cast<Bytef*>(out.data());
      zlib_.avail_out = static_cast<uInt>(out.size());
      const int result = ::inflate(&zlib_, Z_SYNC_FLUSH);
      if ((result != Z_OK && result != Z_BUF_ERROR) || zlib_.avail_in != 0)
        throw std::runtime_error("zlib does not understand");
      out.resize(out.size() - zlib_.avail_out);
      return out;
    }

   private:
    z_stream zlib_{};
  };

  void zrle(const Rect& rect) {
    const size_t length = get<be32>();
    const Bytes bytes = zrle_.inflate(read_(length), size_t{rect.width} * rect.height * 8 + 4096);
    ByteReader in(bytes);
    for (size_t y = 0; y < rect.height; y += 64)
      for (size_t x = 0; x < rect.width; x += 64)
        zrle_tile(in, {.x = static_cast<uint16_t>(rect.x + x),
                       .y = static_cast<uint16_t>(rect.y + y),
                       .width = static_cast<uint16_t>(std::min<size_t>(64, rect.width - x)),
                       .height = static_cast<uint16_t>(std::min<size_t>(64, rect.height - y))});
    check(in.at_end(), "ZRLE has too much or too little");
  }
  size_t run_length(ByteReader& in) {
    size_t length = 1;
    for (uint8_t byte = 255; byte == 255;) {
      byte = in.get<uint8_t>();
      length += byte;
    }
    return length;
  }
  void zrle_tile(ByteReader& in, const Rect& tile) {
    const size_t kind = in.get<uint8_t>();
    if (kind == 0) return each(tile, [&] { return compact(in); });
    if (kind == 1) return fill(tile, compact(in));
    std::vector<uint32_t> colours(kind < 128 ? kind : kind - 128);
    check(kind == 128 || (kind <= 16 || kind >= 130), "an unused kind of tile");
    for (uint32_t& colour : colours) colour = compact(in);
    size_t left = 0;
    uint32_t value = 0;
    if (kind >= 128) {
      each(tile, [&] {
        if (left == 0) {
          if (kind == 128) {
            value = compact(in);
            left = run_length(in);
          } else {
            const uint8_t index = in.get<uint8_t>();
            value = colours.at(index & 0x7f);
            left = (index & 0x80) != 0 ? run_length(in) : 1;
          }
        }
        --left;
        return value;
      });
      return check(left == 0, "a run beyond its tile");
    }
    const unsigned bits = kind == 2 ? 1 : kind <= 4 ? 2 : 4;
    for (size_t y = 0; y < tile.height; ++y) {
      unsigned byte = 0, have = 0;
      for (size_t x = 0; x < tile.width; ++x) {
        if (have == 0) {
          byte = in.get<uint8_t>();
          have = 8;
        }
        have -= bits;
        at(tile.x + x, tile.y + y) = colours.at(byte >> have & ((1U << bits) - 1));
      }
    }
  }

  void tight(const Rect& rect) {
    const unsigned control = u8();
    check((control & 0x0f) == 0, "Tight resets a stream");
    ++tight_controls[control >> 4];
    check(rect.width <= 2048, "too wide for Tight");
    if (control >> 4 == 8) {
      const Bytes bytes = read_(format.tight_bytes());
      ByteReader in(bytes);
      return fill(rect, tight_pixel(in));
    }
    check(control < 0x80, "no such compression");
    const unsigned filter = (control & 0x40) != 0 ? u8() : 0;
    Inflater& zlib = tight_[control >> 4 & 3];
    if (filter == 1) return tight_palette(rect, zlib);
    const Bytes bytes = tight_data(zlib, size_t{rect.width} * rect.height * format.tight_bytes());
    ByteReader in(bytes);
    if (filter == 0) return each(rect, [&] { return tight_pixel(in); });
    check(filter == 2 && format.is_rgb888(), "no such filter");
    tight_gradient(rect, bytes);
  }
  Bytes tight_data(Inflater& zlib, size_t length) {
    if (length < 12) return read_(length);
    size_t compressed = 0;
    for (int shift = 0; shift <= 14; shift += 7) {
      const size_t byte = u8();
      compressed |= (shift < 14 ? byte & 0x7f : byte) << shift;
      if ((byte & 0x80) == 0) break;
    }
    Bytes bytes = zlib.inflate(read_(compressed), length);
    check(bytes.size() == length, "Tight has too much or too little");
    return bytes;
  }
  void tight_palette(const Rect& rect, Inflater& zlib) {
    std::vector<uint32_t> colours(u8() + size_t{1});
    const Bytes palette = read_(colours.size() * format.tight_bytes());
    ByteReader entries(palette);
    for (uint32_t& colour : colours) colour = tight_pixel(entries);
    const bool mono = colours.size() == 2;
    const size_t row = mono ? (size_t{rect.width} + 7) / 8 : rect.width;
    const Bytes bytes = tight_data(zlib, row * rect.height);
    for (size_t y = 0; y < rect.height; ++y)
      for (size_t x = 0; x < rect.width; ++x) {
        const auto byte = std::to_integer<unsigned>(bytes.at(y * row + (mono ? x / 8 : x)));
        at(rect.x + x, rect.y + y) = colours.at(mono ? byte >> (7 - x % 8) & 1 : byte);
      }
  }
  void tight_gradient(const Rect& rect, const Bytes& bytes) {
    std::vector<std::array<int, 3>> done(size_t{rect.width} * rect.height);
    const auto get_done = [&](size_t x, size_t y, bool inside) {
      return inside ? done[y * rect.width + x] : std::array<int, 3>{};
    };
    for (size_t y = 0; y < rect.height; ++y)
      for (size_t x = 0; x < rect.width; ++x) {
        const auto left = get_done(x - 1, y, x > 0);
        const auto above = get_done(x, y - 1, y > 0);
        const auto corner = get_done(x - 1, y - 1, x > 0 && y > 0);
        auto& here = done[y * rect.width + x];
        for (size_t i = 0; i < 3; ++i)
          here[i] = (std::clamp(left[i] + above[i] - corner[i], 0, 255) +
                     std::to_integer<int>(bytes.at((y * rect.width + x) * 3 + i))) &
                    0xff;
        at(rect.x + x, rect.y + y) =
            rgb(static_cast<uint32_t>(here[0]), static_cast<uint32_t>(here[1]),
                static_cast<uint32_t>(here[2]));
      }
  }

  Read read_;
  Inflater zrle_;
  std::array<Inflater, 4> tight_;
};

}  // namespace vireo::display
