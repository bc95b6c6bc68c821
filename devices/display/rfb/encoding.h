// How a rectangle of the picture is written for a viewer (RFC 6143, 7.7): one Encoding for each
// viewer and kind, which keeps what the viewer's decoder keeps (zlib streams).
//
// One thread.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "devices/display/picture/picture.h"
#include "devices/display/rfb/pixel_format.h"
#include "vmm/base/bytes.h"

namespace vireo::display {

// What is shown, and how its viewer wants it.
struct View {
  const Picture& picture;
  const PixelFormat& format;
  int level;  // of compression: 0…9
};

class Encoding {
 public:
  virtual ~Encoding() = default;
  // Appends the rectangles that show `rect`, with their headers, and returns how many they are. The
  // rectangle has at most kMostPixels.
  virtual size_t encode(const View& view, const Rect& rect, ByteWriter& out) = 0;

  static constexpr size_t kMostPixels = 1 << 18;
};

std::unique_ptr<Encoding> make_raw_encoding();
std::unique_ptr<Encoding> make_hextile_encoding();
std::unique_ptr<Encoding> make_zrle_encoding();
std::unique_ptr<Encoding> make_tight_encoding();

// The rectangle's pixels as values of the viewer's format, row after row without gaps.
void take_values(const View& view, const Rect& rect, std::span<uint32_t> values);

// Cuts a rectangle into ones of at most `width` and `pixels`, from the top.
std::vector<Rect> cut(const Rect& rect, size_t width, size_t pixels);

}  // namespace vireo::display
