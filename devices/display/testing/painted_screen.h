// A screen that a test paints at random: text, fills, noise, gradients, single pixels, scrolling.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "devices/display/screen.h"

namespace vireo::display {

class PaintedScreen final : public Screen {
 public:
  explicit PaintedScreen(Size size, unsigned seed = 1) : random_(seed) { resize(size); }

  Size size() const override { return size_; }
  std::span<const std::byte> row(uint16_t y) const override {
    return std::as_bytes(std::span(pixels_)).subspan(y * pitch(), pitch());
  }
  std::vector<Rows> take_changes() override {
    ++looks;
    return std::exchange(changes_, {});
  }

  void resize(Size size) {
    size_ = size;
    pixels_.assign(size_t{size.width} * size.height, 0x000000);
    changes_ = {{.first = 0, .count = size.height}};
  }
  uint32_t pixel(size_t x, size_t y) const { return pixels_[y * size_.width + x] & 0xffffff; }

  // The top byte is noise, as in a guest.
  void set(size_t x, size_t y, uint32_t rgb) {
    if (x < size_.width && y < size_.height)
      pixels_[y * size_.width + x] = rgb | static_cast<uint32_t>(random_()) << 24;
  }
  void fill(const Rect& rect, uint32_t rgb) {
    each(rect, [&](size_t, size_t) { return rgb; });
  }
  void text(const Rect& rect, uint32_t ink, uint32_t paper) {
    each(rect,
         [&](size_t x, size_t y) { return (x * 7 + y * 13 + random_() % 3) % 5 ? paper : ink; });
  }
  void noise(const Rect& rect) {
    each(rect, [&](size_t, size_t) { return static_cast<uint32_t>(random_()) & 0xffffff; });
  }
  void gradient(const Rect& rect) {
    const auto base = static_cast<uint32_t>(random_());
    each(rect, [&](size_t x, size_t y) {
      return static_cast<uint32_t>(((base + x / 2) & 0xff) << 16 | ((base + y) & 0xff) << 8 |
                                   ((x + y) / 3 & 0xff));
    });
  }
  // Up by some rows, as a console does; the lowest are painted anew.
  void scroll_up(uint16_t rows) {
    std::memmove(pixels_.data(), pixels_.data() + rows * size_t{size_.width},
                 pitch() * size_t(size_.height - rows));
    text({.x = 0,
          .y = static_cast<uint16_t>(size_.height - rows),
          .width = size_.width,
          .height = rows},
         0xaaaaaa, 0x000000);
    changes_ = {{.first = 0, .count = size_.height}};
  }
  void console() {
    for (size_t y = 0; y < size_.height; y += 16)
      text({.x = 0,
            .y = static_cast<uint16_t>(y),
            .width = static_cast<uint16_t>(random_() % size_.width + 1),
            .height = 16},
           0xaaaaaa, 0x000000);
  }
  void paint() {
    switch (random_() % 8) {
      case 0:
        return fill(any_rect(), colour());
      case 1:
        return text(any_rect(), colour(), colour());
      case 2:
        return noise(any_rect());
      case 3:
        return gradient(any_rect());
      case 4:
        return scroll_up(static_cast<uint16_t>(std::min<size_t>(size_.height, random_() % 33)));
      case 5:
        return few_colours(any_rect());
      case 6:
        return console();
      default:
        return fill({.x = below(size_.width), .y = below(size_.height), .width = 1, .height = 1},
                    colour());
    }
  }
  void few_colours(const Rect& rect) {
    const auto count = static_cast<uint32_t>(random_() % 30 + 3);
    each(rect, [&](size_t x, size_t y) {
      return static_cast<uint32_t>((x / 3 + y / 2 + random_() % 2) % count * 0x070b0d);
    });
  }

  int looks = 0;  // how often somebody asked for changes

 private:
  size_t pitch() const { return size_t{size_.width} * 4; }
  uint16_t below(size_t end) { return static_cast<uint16_t>(random_() % end); }
  uint32_t colour() { return static_cast<uint32_t>(random_()) & 0xffffff; }
  Rect any_rect() {
    const uint16_t x = below(size_.width), y = below(size_.height);
    return {.x = x,
            .y = y,
            .width = static_cast<uint16_t>(below(size_t(size_.width - x)) + 1),
            .height = static_cast<uint16_t>(below(size_t(size_.height - y)) + 1)};
  }
  template <class Colour>
  void each(const Rect& rect, Colour colour) {
    for (size_t y = rect.y; y < size_t(rect.y + rect.height); ++y)
      for (size_t x = rect.x; x < size_t(rect.x + rect.width); ++x) set(x, y, colour(x, y));
    if (rect.height > 0) changes_.push_back({.first = rect.y, .count = rect.height});
  }

  Size size_{};
  std::vector<uint32_t> pixels_;
  std::vector<Rows> changes_;
  std::mt19937 random_;
};

}  // namespace vireo::display
