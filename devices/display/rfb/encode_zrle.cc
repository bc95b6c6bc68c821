// ZRLE (RFC 6143, 7.7.6): tiles of 64×64 pixels, in packed palettes or runs, through zlib.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "devices/display/rfb/deflater.h"
#include "devices/display/rfb/encoding.h"
#include "devices/display/rfb/palette.h"

namespace vireo::display {

namespace {

constexpr size_t kTile = 64;
constexpr size_t kMostPacked = 16;
constexpr size_t kMostColours = 127;
constexpr uint8_t kRaw = 0, kSolid = 1, kPlainRle = 128;
// zlib makes less of runs than of packed pixels, where it sees the glyphs: runs have to be this
// many times shorter.
constexpr size_t kRunHandicap = 2;

// A run's length is a sum of bytes, of which only the last is not 255, plus one.
constexpr size_t length_bytes(size_t length) noexcept {
  return (length - 1) / 255 + 1;
}

std::byte* put_length(size_t length, std::byte* to) noexcept {
  const size_t full = (length - 1) / 255;
  std::memset(to, 255, full);
  to[full] = static_cast<std::byte>((length - 1) % 255);
  return to + full + 1;
}

constexpr size_t bits_for(size_t colours) noexcept {
  return colours <= 2 ? 1 : colours <= 4 ? 2 : 4;
}

struct Run {
  uint32_t value;
  uint16_t index;  // in the palette
  uint16_t length;
};

class ZrleEncoding final : public Encoding {
 public:
  size_t encode(const View& view, const Rect& rect, ByteWriter& out) override {
    const std::vector<Rect> rows = cut(rect, rect.width, rect.width * kTile);
    // The worst of a tile is all of its pixels.
    const size_t tiles = rows.size() * (rect.width / kTile + 1);
    tiles_.resize(size_t{rect.width} * rect.height * sizeof(uint32_t) + tiles);
    std::byte* end = tiles_.data();
    for (const Rect& row : rows)
      for (const Rect& tile : cut(row, kTile, kTile * kTile)) end = put_tile(view, tile, end);
    const auto length = static_cast<size_t>(end - tiles_.data());
    const auto compressed = zlib_.compress(std::span(tiles_).first(length), view.level);
    put_rect(out, rect, encoding::kZrle);
    out.put(be32(static_cast<uint32_t>(compressed.size())));
    out.put(compressed);
    return 1;
  }

 private:
  std::span<const uint32_t> pixels(const Rect& tile) const noexcept {
    return std::span(values_).first(size_t{tile.width} * tile.height);
  }

  std::byte* put_tile(const View& view, const Rect& tile, std::byte* to) {
    take_values(view, tile, std::span(values_).first(size_t{tile.width} * tile.height));
    find_runs(pixels(tile));
    const size_t bytes = view.format.compact_bytes();
    const size_t colours = palette_.size();
    if (colours == 1) {
      *to++ = std::byte{kSolid};
      return view.format.put_compact(palette_.colours(), to);
    }
    const size_t raw = pixels(tile).size() * bytes;
    const size_t packed =
        colours <= kMostPacked ? colours * bytes + packed_row(tile) * tile.height : raw;
    const size_t plain_runs = runs_.size() * bytes + lengths_;
    const size_t palette_runs =
        colours <= kMostColours ? colours * bytes + runs_.size() + lengths_ - singles_ : plain_runs;
    if (std::min(plain_runs, palette_runs) * kRunHandicap < std::min(packed, raw))
      return palette_runs < plain_runs ? put_palette_runs(view, to) : put_plain_runs(view, to);
    return packed < raw ? put_packed(view, tile, to) : put_pixels(view, tile, to);
  }

  // The runs of the tile, and its colours, until there are too many of them for a palette.
  void find_runs(std::span<const uint32_t> values) {
    runs_.clear();
    palette_.clear();
    lengths_ = singles_ = 0;
    size_t index = 0;
    for (size_t i = 0; i < values.size();) {
      const uint32_t value = values[i];
      size_t end = i + 1;
      while (end < values.size() && values[end] == value) ++end;
      if (index != Palette::kFull) index = palette_.add(value);
      runs_.push_back({.value = value,
                       .index = static_cast<uint16_t>(index),
                       .length = static_cast<uint16_t>(end - i)});
      lengths_ += length_bytes(end - i);
      singles_ += end - i == 1 ? 1 : 0;
      i = end;
    }
  }

  size_t packed_row(const Rect& tile) const noexcept {
    return (tile.width * bits_for(palette_.size()) + 7) / 8;
  }

  std::byte* put_pixels(const View& view, const Rect& tile, std::byte* to) const {
    *to++ = std::byte{kRaw};
    return view.format.put_compact(pixels(tile), to);
  }

  std::byte* put_packed(const View& view, const Rect& tile, std::byte* to) const {
    *to++ = static_cast<std::byte>(palette_.size());
    to = view.format.put_compact(palette_.colours(), to);
    const size_t bits = bits_for(palette_.size());
    auto run = runs_.begin();
    size_t left = run->length;
    for (size_t y = 0; y < tile.height; ++y) {
      unsigned byte = 0;
      size_t used = 0;
      for (size_t x = 0; x < tile.width; ++x) {
        if (left == 0) left = (++run)->length;
        --left;
        byte = byte << bits | run->index;
        used += bits;
        if (used < 8) continue;
        *to++ = static_cast<std::byte>(byte);
        byte = 0;
        used = 0;
      }
      if (used > 0) *to++ = static_cast<std::byte>(byte << (8 - used));
    }
    return to;
  }

  std::byte* put_plain_runs(const View& view, std::byte* to) const {
    *to++ = std::byte{kPlainRle};
    for (const Run& run : runs_) {
      to = view.format.put_compact(std::span(&run.value, 1), to);
      to = put_length(run.length, to);
    }
    return to;
  }

  std::byte* put_palette_runs(const View& view, std::byte* to) const {
    *to++ = static_cast<std::byte>(kPlainRle + palette_.size());
    to = view.format.put_compact(palette_.colours(), to);
    for (const Run& run : runs_) {
      if (run.length == 1) {
        *to++ = static_cast<std::byte>(run.index);
      } else {
        *to++ = static_cast<std::byte>(run.index | 0x80);
        to = put_length(run.length, to);
      }
    }
    return to;
  }

  std::array<uint32_t, kTile * kTile> values_{};
  std::vector<Run> runs_;
  size_t lengths_ = 0;  // bytes of all the runs' lengths
  size_t singles_ = 0;  // runs of one pixel
  Palette palette_;
  std::vector<std::byte> tiles_;
  Deflater zlib_;
};

}  // namespace

std::unique_ptr<Encoding> make_zrle_encoding() {
  return std::make_unique<ZrleEncoding>();
}

}  // namespace vireo::display
