#include "devices/display/picture/picture.h"

#include <catch2/catch.hpp>

#include "devices/display/testing/painted_screen.h"

namespace vireo::display {

TEST_CASE("the first look finds all, the next nothing", "[display]") {
  PaintedScreen screen({.width = 40, .height = 30});
  Picture picture(screen);
  TileSet all({.width = 40, .height = 30});
  all.add({.x = 0, .y = 0, .width = 40, .height = 30});
  const Change first = picture.refresh();
  REQUIRE(first.resized);
  REQUIRE(first.tiles == all);
  const Change second = picture.refresh();
  REQUIRE_FALSE(second.resized);
  REQUIRE(second.tiles.empty());
}

TEST_CASE("what the top byte says is no change", "[display]") {
  PaintedScreen screen({.width = 64, .height = 64});
  Picture picture(screen);
  picture.refresh();
  screen.fill({.x = 0, .y = 0, .width = 64, .height = 64}, 0);
  REQUIRE(picture.refresh().tiles.empty());
}

TEST_CASE("a look finds exactly the tiles that differ, over many frames", "[display]") {
  PaintedScreen screen({.width = 90, .height = 50}, 5);
  Picture picture(screen);
  picture.refresh();
  for (int frame = 0; frame < 500; ++frame) {
    std::vector<uint32_t> before;
    for (size_t y = 0; y < 50; ++y)
      before.insert(before.end(), picture.row(y).begin(), picture.row(y).end());
    screen.paint();
    TileSet expected(screen.size());
    for (size_t y = 0; y < 50; ++y)
      for (size_t x = 0; x < 90; ++x)
        if (before[y * 90 + x] != screen.pixel(x, y))
          expected.add_tile(x / kTileWidth, y / kTileHeight);
    REQUIRE(picture.refresh().tiles == expected);
    for (size_t x = 0; x < 90; ++x) REQUIRE(picture.row(49)[x] == screen.pixel(x, 49));
  }
}

TEST_CASE("rows that a screen names beyond its end are not read", "[display]") {
  struct Liar final : Screen {
    Size size() const override { return {.width = 16, .height = 8}; }
    std::span<const std::byte> row(uint16_t y) const override {
      REQUIRE(y < 8);
      return pixels;
    }
    std::vector<Rows> take_changes() override { return {{.first = 5, .count = 9}}; }
    std::vector<std::byte> pixels = std::vector<std::byte>(64);
  } screen;
  Picture picture(screen);
  picture.refresh();
  REQUIRE(picture.refresh().tiles.empty());
}

}  // namespace vireo::display
