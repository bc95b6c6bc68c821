#include "devices/display/rfb/encoding.h"

#include <algorithm>

namespace vireo::display {

void take_values(const View& view, const Rect& rect, std::span<uint32_t> values) {
  for (size_t y = 0; y < rect.height; ++y)
    view.format.convert(view.picture.row(rect.y + y).subspan(rect.x, rect.width),
                        values.subspan(y * rect.width, rect.width));
}

std::vector<Rect> cut(const Rect& rect, size_t width, size_t pixels) {
  std::vector<Rect> parts;
  for (size_t x = 0; x < rect.width; x += width) {
    const size_t wide = std::min(width, rect.width - x);
    const size_t most = std::max<size_t>(pixels / wide, 1);
    for (size_t y = 0; y < rect.height; y += most)
      parts.push_back({.x = static_cast<uint16_t>(rect.x + x),
                       .y = static_cast<uint16_t>(rect.y + y),
                       .width = static_cast<uint16_t>(wide),
                       .height = static_cast<uint16_t>(std::min(most, rect.height - y))});
  }
  return parts;
}

}  // namespace vireo::display
