// Hextile (RFC 6143, 7.7.4): tiles of 16×16 pixels, each a background with rectangles on it.
#include <algorithm>
#include <array>
#include <vector>

#include "devices/display/rfb/encoding.h"
#include "devices/display/rfb/palette.h"

namespace vireo::display {

namespace {

constexpr size_t kTile = 16;
constexpr uint8_t kRaw = 1, kBackground = 2, kForeground = 4, kAnySubrects = 8, kColoured = 16;
constexpr size_t kMostSubrects = 255;

struct Subrect {
  uint32_t value;
  uint8_t x, y, width, height;
};

class HextileEncoding final : public Encoding {
 public:
  size_t encode(const View& view, const Rect& rect, ByteWriter& out) override {
    put_rect(out, rect, encoding::kHextile);
    background_ = foreground_ = kUnknown;
    for (const Rect& row : cut(rect, rect.width, rect.width * kTile))
      for (const Rect& tile : cut(row, kTile, kTile * kTile)) put_tile(view, tile, out);
    return 1;
  }

 private:
  static constexpr uint64_t kUnknown = UINT64_MAX;  // no value of any format

  std::span<uint32_t> pixels(const Rect& tile) noexcept {
    return std::span(values_).first(size_t{tile.width} * tile.height);
  }

  void put_tile(const View& view, const Rect& tile, ByteWriter& out) {
    take_values(view, tile, pixels(tile));
    const size_t most = pixels(tile).size() * view.format.bytes();
    const uint32_t background = most_frequent(pixels(tile));
    find_subrects(tile, background);
    if (subrects_.size() > kMostSubrects || length(view) >= most) return put_raw(view, tile, out);
    put_subrects(view, background, out);
  }

  uint32_t most_frequent(std::span<const uint32_t> values) {
    palette_.clear();
    std::array<uint16_t, Palette::kMost> counts{};
    for (const uint32_t value : values) ++counts[palette_.add(value)];
    const auto most = std::max_element(counts.begin(), counts.end());
    return palette_.colours()[static_cast<size_t>(most - counts.begin())];
  }

  // What is taken is painted over in the background's colour.
  void find_subrects(const Rect& tile, uint32_t background) {
    subrects_.clear();
    const size_t width = tile.width;
    std::array<uint32_t, kTile * kTile> rest;
    std::ranges::copy(pixels(tile), rest.begin());
    for (size_t y = 0; y < tile.height; ++y) {
      for (size_t x = 0; x < width; ++x) {
        const uint32_t value = rest[y * width + x];
        if (value == background) continue;
        size_t right = x + 1;
        while (right < width && rest[y * width + right] == value) ++right;
        size_t bottom = y;
        const auto same = [&](size_t row) {
          return std::all_of(&rest[row * width + x], &rest[row * width + x] + (right - x),
                             [value](uint32_t other) { return other == value; });
        };
        for (; bottom < tile.height && same(bottom); ++bottom)
          std::fill_n(&rest[bottom * width + x], right - x, background);
        subrects_.push_back({.value = value,
                             .x = static_cast<uint8_t>(x),
                             .y = static_cast<uint8_t>(y),
                             .width = static_cast<uint8_t>(right - x),
                             .height = static_cast<uint8_t>(bottom - y)});
      }
    }
  }

  bool coloured() const noexcept { return palette_.size() > 2; }
  size_t length(const View& view) const noexcept {
    const size_t bytes = view.format.bytes();
    return 2 * bytes + 1 + subrects_.size() * (2 + (coloured() ? bytes : 0));
  }

  void put_value(const View& view, uint32_t value, ByteWriter& out) {
    std::array<std::byte, 4> bytes;
    view.format.put(std::span(&value, 1), bytes.data());
    out.put(std::span<const std::byte>(bytes).first(view.format.bytes()));
  }

  // A raw tile leaves nothing for the next to be like.
  void put_raw(const View& view, const Rect& tile, ByteWriter& out) {
    out.put(kRaw);
    const size_t begin = out.size();
    out.zeros(pixels(tile).size() * view.format.bytes());
    view.format.put(pixels(tile), out.bytes().data() + begin);
    background_ = foreground_ = kUnknown;
  }

  void put_subrects(const View& view, uint32_t background, ByteWriter& out) {
    uint8_t flags = background == background_ ? 0 : kBackground;
    if (!subrects_.empty()) {
      flags |= kAnySubrects;
      if (coloured())
        flags |= kColoured;
      else if (subrects_.front().value != foreground_)
        flags |= kForeground;
    }
    out.put(flags);
    if ((flags & kBackground) != 0) put_value(view, background, out);
    background_ = background;
    if ((flags & kForeground) != 0) {
      foreground_ = subrects_.front().value;
      put_value(view, subrects_.front().value, out);
    }
    if (subrects_.empty()) return;
    if (coloured()) foreground_ = kUnknown;
    out.put(static_cast<uint8_t>(subrects_.size()));
    for (const Subrect& subrect : subrects_) {
      if (coloured()) put_value(view, subrect.value, out);
      out.put(static_cast<uint8_t>(subrect.x << 4 | subrect.y));
      out.put(static_cast<uint8_t>((subrect.width - 1) << 4 | (subrect.height - 1)));
    }
  }

  std::array<uint32_t, kTile * kTile> values_{};
  std::vector<Subrect> subrects_;
  Palette palette_;
  uint64_t background_ = kUnknown;  // what the viewer would take for it now
  uint64_t foreground_ = kUnknown;
};

}  // namespace

std::unique_ptr<Encoding> make_hextile_encoding() {
  return std::make_unique<HextileEncoding>();
}

}  // namespace vireo::display
