// Tight (the community's description of RFB, "Tight Encoding"), lossless: each rectangle filled,
// in a palette, as differences from its neighbours (gradient), or as it is; then through one of
// four zlib streams. JPEG is left out: it loses, and text is what a console shows.
#include <algorithm>
#include <array>
#include <vector>

#include "devices/display/rfb/deflater.h"
#include "devices/display/rfb/encoding.h"
#include "devices/display/rfb/palette.h"

namespace vireo::display {

namespace {

constexpr size_t kMostWidth = 2048;
constexpr size_t kMostInOne = 65536;
constexpr uint8_t kFill = 0x80, kExplicitFilter = 0x40;
constexpr uint8_t kPaletteFilter = 1, kGradientFilter = 2;
enum Stream : uint8_t { kCopyStream, kMonoStream, kPaletteStream, kGradientStream };
constexpr size_t kMostRaw = 11;  // bytes; fewer are not worth compressing
// A palette has to be this many times smaller than the rectangle, in pixels.
constexpr size_t kPixelsPerColour = 8;

class TightEncoding final : public Encoding {
 public:
  size_t encode(const View& view, const Rect& rect, ByteWriter& out) override {
    const std::vector<Rect> parts = cut(rect, kMostWidth, kMostInOne);
    for (const Rect& part : parts) put_part(view, part, out);
    return parts.size();
  }

 private:
  void put_part(const View& view, const Rect& rect, ByteWriter& out) {
    put_rect(out, rect, encoding::kTight);
    values_.resize(size_t{rect.width} * rect.height);
    take_values(view, rect, values_);
    const size_t colours = count_colours(values_.size() / kPixelsPerColour + 2);
    if (colours == 1)
      put_fill(view, out);
    else if (colours == 2)
      put_mono(view, rect, out);
    else if (colours <= Palette::kMost && view.format.bytes() > 1)
      put_indexed(view, out);
    else if (view.format.is_rgb888() && is_smooth(view, rect))
      put_gradient(view, rect, out);
    else
      put_copy(view, out);
  }

  // More than the palette holds, when there are more than `most`.
  size_t count_colours(size_t most) {
    palette_.clear();
    most = std::min(most, Palette::kMost);
    uint32_t last = values_.front();
    palette_.add(last);
    for (const uint32_t value : values_) {
      if (value == last) continue;
      if (palette_.add(value) >= most) return Palette::kMost + 1;
      last = value;
    }
    return palette_.size();
  }

  void put_fill(const View& view, ByteWriter& out) {
    out.put(kFill);
    put_colours(view, out);
  }

  void put_colours(const View& view, ByteWriter& out) {
    std::array<std::byte, Palette::kMost * 4> bytes;
    const std::byte* const end = view.format.put_tight(palette_.colours(), bytes.data());
    out.put(std::span<const std::byte>(bytes.data(), end));
  }

  void put_palette(const View& view, Stream stream, ByteWriter& out) {
    out.put(static_cast<uint8_t>(stream << 4 | kExplicitFilter));
    out.put(kPaletteFilter);
    out.put(static_cast<uint8_t>(palette_.size() - 1));
    put_colours(view, out);
  }

  void put_mono(const View& view, const Rect& rect, ByteWriter& out) {
    put_palette(view, kMonoStream, out);
    const size_t row_bytes = (size_t{rect.width} + 7) / 8;
    data_.resize(row_bytes * rect.height);
    const uint32_t zero = palette_.colours()[0];
    std::byte* to = data_.data();
    for (size_t y = 0; y < rect.height; ++y) {
      const auto row = std::span<const uint32_t>(values_).subspan(y * rect.width, rect.width);
      for (size_t x = 0; x < row.size(); x += 8) *to++ = packed(row.subspan(x), zero);
    }
    put_data(kMonoStream, view, out);
  }

  // Up to eight pixels, the first in the highest bit.
  static std::byte packed(std::span<const uint32_t> values, uint32_t zero) noexcept {
    unsigned byte = 0;
    const size_t count = std::min<size_t>(values.size(), 8);
    for (size_t i = 0; i < count; ++i) byte |= (values[i] != zero ? 0x80U : 0U) >> i;
    return static_cast<std::byte>(byte);
  }

  void put_indexed(const View& view, ByteWriter& out) {
    put_palette(view, kPaletteStream, out);
    data_.resize(values_.size());
    uint32_t last = values_.front();
    auto index = static_cast<std::byte>(palette_.add(last));
    for (size_t i = 0; i < values_.size(); ++i) {
      if (values_[i] != last) {
        last = values_[i];
        index = static_cast<std::byte>(palette_.add(last));
      }
      data_[i] = index;
    }
    put_data(kPaletteStream, view, out);
  }

  void put_copy(const View& view, ByteWriter& out) {
    out.put(static_cast<uint8_t>(kCopyStream << 4));
    data_.resize(values_.size() * view.format.tight_bytes());
    view.format.put_tight(values_, data_.data());
    put_data(kCopyStream, view, out);
  }

  void put_gradient(const View& view, const Rect& rect, ByteWriter& out) {
    out.put(static_cast<uint8_t>(kGradientStream << 4 | kExplicitFilter));
    out.put(kGradientFilter);
    data_.resize(values_.size() * 3);
    std::byte* to = data_.data();
    for (size_t y = 0; y < rect.height; ++y) to = put_residues(view.format, rect.width, y, to);
    put_data(kGradientStream, view, out);
  }

  // What is left of a row's colours after what their neighbours to the left and above predict.
  std::byte* put_residues(const PixelFormat& format, size_t width, size_t y, std::byte* to) const {
    std::array<uint8_t, 3> left{}, corner{};
    for (size_t x = 0; x < width; ++x) {
      const auto here = format.rgb(values_[y * width + x]);
      const auto above =
          y > 0 ? format.rgb(values_[(y - 1) * width + x]) : std::array<uint8_t, 3>{};
      for (size_t i = 0; i < 3; ++i) {
        const int predicted = std::clamp(left[i] + above[i] - corner[i], 0, 255);
        *to++ = static_cast<std::byte>(here[i] - predicted);
      }
      left = here;
      corner = above;
    }
    return to;
  }

  // Whether most of some rows' pixels are near what the gradient predicts but not equal to their
  // neighbour, as in photographs.
  bool is_smooth(const View& view, const Rect& rect) {
    constexpr size_t kEvery = 8;
    constexpr int kNear = 8;
    data_.resize(size_t{rect.width} * 3);
    size_t looked_at = 0, near = 0;
    for (size_t y = 1; y < rect.height; y += kEvery) {
      put_residues(view.format, rect.width, y, data_.data());
      for (size_t x = 1; x < rect.width; ++x) {
        const size_t at = y * rect.width + x;
        if (values_[at] == values_[at - 1]) continue;
        ++looked_at;
        const auto rest = std::span(data_).subspan(x * 3, 3);
        near += std::ranges::all_of(
            rest, [](std::byte left) { return std::abs(static_cast<int8_t>(left)) < kNear; });
      }
    }
    return looked_at > rect.width && near * 4 > looked_at * 3;
  }

  void put_data(Stream stream, const View& view, ByteWriter& out) {
    if (data_.size() <= kMostRaw) return out.put(data_);
    // Pixels, unlike indexes, repay effort badly.
    const bool pixels = stream == kCopyStream || stream == kGradientStream;
    const int level = pixels ? std::max(view.level - 1, 1) : view.level;
    const auto compressed = zlib_[stream].compress(data_, level);
    put_compact_length(compressed.size(), out);
    out.put(compressed);
  }

  // Seven bits a byte, the lowest first; at most three bytes.
  static void put_compact_length(size_t length, ByteWriter& out) {
    for (; length > 0x7f; length >>= 7) out.put(static_cast<uint8_t>(length | 0x80));
    out.put(static_cast<uint8_t>(length));
  }

  std::vector<uint32_t> values_;
  std::vector<std::byte> data_;
  Palette palette_;
  std::array<Deflater, 4> zlib_;
};

}  // namespace

std::unique_ptr<Encoding> make_tight_encoding() {
  return std::make_unique<TightEncoding>();
}

}  // namespace vireo::display
