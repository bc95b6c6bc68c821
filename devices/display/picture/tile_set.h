// A set of the screen's tiles: what has changed, or what a viewer does not have yet.
//
// A value; one thread. Tiles are kTileWidth × kTileHeight pixels, those at the right and lower edge
// are cut off by the screen. One byte for each tile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "devices/display/picture/scroll.h"
#include "devices/display/screen.h"

namespace vireo::display {

constexpr uint16_t kTileWidth = 16;
constexpr uint16_t kTileHeight = 8;

class TileSet {
 public:
  TileSet() = default;
  explicit TileSet(Size size);

  Size size() const noexcept { return size_; }
  bool empty() const noexcept;
  bool operator==(const TileSet&) const = default;

  // One tile, by its place in the grid.
  void add_tile(size_t column, size_t row) noexcept { tiles_[row * columns_ + column] = 1; }
  bool has_tile(size_t column, size_t row) const noexcept {
    return tiles_[row * columns_ + column] != 0;
  }
  size_t columns() const noexcept { return columns_; }
  size_t rows() const noexcept { return rows_; }

  // The tiles that have a pixel in `rect`, which may reach beyond the screen.
  void add(const Rect& rect) noexcept;
  bool touches(const Rect& rect) const noexcept;
  // Of a set of the same size.
  void add(const TileSet& other) noexcept;
  // The tiles that lie in rows [first, end) altogether.
  void remove_rows(size_t first, size_t end) noexcept;

  // The tiles go where their pixels went; those that are partly moved stay as well.
  void scroll(const Scroll& scroll);

  // Takes the tiles that have a pixel in `rect` out, as rectangles of pixels that do not overlap;
  // `most` of them at most, the rest stays.
  std::vector<Rect> take(const Rect& rect, size_t most);

 private:
  struct Span {  // of tiles
    size_t left, top, right, bottom;
  };
  Span span_of(const Rect& rect) const noexcept;
  Span grown(size_t column, size_t row, const Span& within) const noexcept;
  bool has_all(size_t row, size_t left, size_t right) const noexcept;
  Rect pixels(const Span& span) const noexcept;
  void fill(const Span& span, uint8_t value) noexcept;

  Size size_{};
  size_t columns_ = 0;
  size_t rows_ = 0;
  std::vector<uint8_t> tiles_;  // 0 or 1
};

}  // namespace vireo::display
