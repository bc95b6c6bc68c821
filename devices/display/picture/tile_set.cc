#include "devices/display/picture/tile_set.h"

#include <algorithm>
#include <cstring>

namespace vireo::display {

namespace {

constexpr size_t round_up(size_t value, size_t unit) noexcept {
  return (value + unit - 1) / unit;
}

}  // namespace

TileSet::TileSet(Size size)
    : size_(size),
      columns_(round_up(size.width, kTileWidth)),
      rows_(round_up(size.height, kTileHeight)),
      tiles_(columns_ * rows_) {}

bool TileSet::empty() const noexcept {
  return tiles_.empty() || std::memchr(tiles_.data(), 1, tiles_.size()) == nullptr;
}

TileSet::Span TileSet::span_of(const Rect& rect) const noexcept {
  const size_t right = std::min<size_t>(size_t{rect.x} + rect.width, size_.width);
  const size_t bottom = std::min<size_t>(size_t{rect.y} + rect.height, size_.height);
  if (rect.x >= right || rect.y >= bottom) return {};
  return {.left = rect.x / size_t{kTileWidth},
          .top = rect.y / size_t{kTileHeight},
          .right = round_up(right, kTileWidth),
          .bottom = round_up(bottom, kTileHeight)};
}

void TileSet::fill(const Span& span, uint8_t value) noexcept {
  for (size_t row = span.top; row < span.bottom; ++row)
    std::memset(tiles_.data() + row * columns_ + span.left, value, span.right - span.left);
}

void TileSet::add(const Rect& rect) noexcept {
  fill(span_of(rect), 1);
}

bool TileSet::touches(const Rect& rect) const noexcept {
  const Span span = span_of(rect);
  for (size_t row = span.top; row < span.bottom; ++row) {
    const uint8_t* const from = tiles_.data() + row * columns_ + span.left;
    if (std::memchr(from, 1, span.right - span.left) != nullptr) return true;
  }
  return false;
}

void TileSet::add(const TileSet& other) noexcept {
  for (size_t i = 0; i < tiles_.size(); ++i) tiles_[i] |= other.tiles_[i];
}

void TileSet::remove_rows(size_t first, size_t end) noexcept {
  const size_t top = round_up(first, kTileHeight);
  const size_t bottom = end >= size_.height ? rows_ : end / kTileHeight;
  if (top < bottom) fill({.left = 0, .top = top, .right = columns_, .bottom = bottom}, 0);
}

void TileSet::scroll(const Scroll& scroll) {
  const TileSet before = *this;
  remove_rows(scroll.first, size_t{scroll.first} + scroll.count);
  for (size_t y = scroll.first, from = scroll.from; y < size_t{scroll.first} + scroll.count;
       ++y, ++from)
    for (size_t column = 0; column < columns_; ++column)
      if (before.has_tile(column, from / kTileHeight)) add_tile(column, y / kTileHeight);
}

bool TileSet::has_all(size_t row, size_t left, size_t right) const noexcept {
  return std::memchr(tiles_.data() + row * columns_ + left, 0, right - left) == nullptr;
}

// The run of tiles from here to the right, and as many rows below as have all of it.
TileSet::Span TileSet::grown(size_t column, size_t row, const Span& within) const noexcept {
  Span span{.left = column, .top = row, .right = column + 1, .bottom = row + 1};
  while (span.right < within.right && has_tile(span.right, row)) ++span.right;
  while (span.bottom < within.bottom && has_all(span.bottom, span.left, span.right)) ++span.bottom;
  return span;
}

Rect TileSet::pixels(const Span& span) const noexcept {
  const size_t x = span.left * kTileWidth;
  const size_t y = span.top * kTileHeight;
  return {
      .x = static_cast<uint16_t>(x),
      .y = static_cast<uint16_t>(y),
      .width = static_cast<uint16_t>(std::min<size_t>(span.right * kTileWidth, size_.width) - x),
      .height =
          static_cast<uint16_t>(std::min<size_t>(span.bottom * kTileHeight, size_.height) - y)};
}

std::vector<Rect> TileSet::take(const Rect& rect, size_t most) {
  std::vector<Rect> taken;
  const Span within = span_of(rect);
  for (size_t row = within.top; row < within.bottom; ++row) {
    for (size_t column = within.left; column < within.right && taken.size() < most; ++column) {
      if (!has_tile(column, row)) continue;
      const Span span = grown(column, row, within);
      fill(span, 0);
      taken.push_back(pixels(span));
      column = span.right;
    }
  }
  return taken;
}

}  // namespace vireo::display
