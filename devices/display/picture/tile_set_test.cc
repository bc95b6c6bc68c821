#include "devices/display/picture/tile_set.h"

#include <random>

#include <catch2/catch.hpp>

namespace vireo::display {
namespace {

constexpr Rect kAll{.x = 0, .y = 0, .width = 0xffff, .height = 0xffff};

}  // namespace

TEST_CASE("a set takes whole tiles, cut off at the edge of the screen", "[display]") {
  TileSet set({.width = 50, .height = 20});
  REQUIRE(set.empty());
  set.add({.x = 47, .y = 15, .width = 2, .height = 2});
  REQUIRE(set.take(kAll, SIZE_MAX) ==
          std::vector<Rect>{{.x = 32, .y = 8, .width = 18, .height = 12}});
  REQUIRE(set.empty());
  set.add({.x = 50, .y = 0, .width = 9, .height = 9});
  set.add({.x = 0, .y = 20, .width = 9, .height = 9});
  set.add({.x = 3, .y = 3, .width = 0, .height = 5});
  REQUIRE(set.empty());
  REQUIRE_FALSE(TileSet().touches(kAll));
}

TEST_CASE("the rectangles cover every tile once", "[display]") {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    TileSet set({.width = 333, .height = 111});
    for (unsigned i = 0; i < random() % 20; ++i)
      set.add({.x = static_cast<uint16_t>(random() % 333),
               .y = static_cast<uint16_t>(random() % 111),
               .width = static_cast<uint16_t>(random() % 60),
               .height = static_cast<uint16_t>(random() % 60)});
    const TileSet before = set;
    TileSet covered({.width = 333, .height = 111});
    for (const Rect& rect : set.take(kAll, SIZE_MAX)) {
      REQUIRE_FALSE(covered.touches(rect));
      covered.add(rect);
    }
    REQUIRE(covered == before);
    REQUIRE(set.empty());
  }
}

TEST_CASE("what is not taken stays", "[display]") {
  TileSet set({.width = 160, .height = 80});
  for (size_t column = 0; column < 10; column += 2) set.add_tile(column, 0);
  REQUIRE(set.take(kAll, 2).size() == 2);
  REQUIRE(set.take({.x = 64, .y = 0, .width = 16, .height = 80}, SIZE_MAX).size() == 1);
  REQUIRE(set.take(kAll, SIZE_MAX).size() == 2);
}

TEST_CASE("tiles go with the rows that scroll", "[display]") {
  TileSet set({.width = 64, .height = 64});
  set.add({.x = 0, .y = 24, .width = 1, .height = 1});
  set.add({.x = 32, .y = 60, .width = 1, .height = 1});
  set.scroll({.from = 16, .first = 0, .count = 48});
  TileSet expected({.width = 64, .height = 64});
  expected.add({.x = 0, .y = 8, .width = 1, .height = 1});
  expected.add({.x = 32, .y = 40, .width = 1, .height = 1});
  expected.add({.x = 32, .y = 60, .width = 1, .height = 1});
  REQUIRE(set == expected);
}

}  // namespace vireo::display
