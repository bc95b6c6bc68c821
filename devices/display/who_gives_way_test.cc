#include "devices/display/who_gives_way.h"

#include <catch2/catch.hpp>

namespace vireo::display {
namespace {

using Places = std::vector<Place>;

}  // namespace

TEST_CASE("the oldest that has said nothing gives way first", "[display]") {
  REQUIRE(who_gives_way(Places{{"a", Worth::looks},
                               {"a", Worth::proves},
                               {"a", Worth::silent},
                               {"a", Worth::silent},
                               {"a", Worth::idle}}) == 2);
  REQUIRE(who_gives_way(Places{{"a", Worth::looks}, {"a", Worth::idle}, {"a", Worth::proves}}) ==
          2);
  REQUIRE(who_gives_way(Places{{"a", Worth::looks}, {"a", Worth::idle}}) == 1);
}

TEST_CASE("who has many gives way to who has few", "[display]") {
  REQUIRE(
      who_gives_way(Places{
          {"b", Worth::silent}, {"a", Worth::looks}, {"a", Worth::proves}, {"a", Worth::proves}}) ==
      2);
}

TEST_CASE("who looks at the screen never gives way", "[display]") {
  REQUIRE_FALSE(who_gives_way(Places{{"a", Worth::looks}, {"b", Worth::looks}}));
  REQUIRE_FALSE(who_gives_way({}));
}

}  // namespace vireo::display
