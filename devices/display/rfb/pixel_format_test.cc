#include "devices/display/rfb/pixel_format.h"

#include <catch2/catch.hpp>

namespace vireo::display {
namespace {

WirePixelFormat rgb565() {
  return {.bits_per_pixel = 16,
          .depth = 16,
          .big_endian = 0,
          .true_colour = 1,
          .red_max = 31,
          .green_max = 63,
          .blue_max = 31,
          .red_shift = 11,
          .green_shift = 5,
          .blue_shift = 0};
}

}  // namespace

TEST_CASE("white is white and black is black in every format", "[display]") {
  const PixelFormat format = PixelFormat::from_wire(rgb565()).value();
  REQUIRE(format.value(0xffffff) == 0xffff);
  REQUIRE(format.value(0x000000) == 0);
  REQUIRE(format.value(0xff0000) == 0xf800);
  REQUIRE(PixelFormat().value(0x123456) == 0x123456);
}

TEST_CASE("formats that cannot be are refused", "[display]") {
  const auto refused = [](auto change) {
    WirePixelFormat format = rgb565();
    change(format);
    return !PixelFormat::from_wire(format);
  };
  REQUIRE(refused([](auto& format) { format.bits_per_pixel = 24; }));
  REQUIRE(refused([](auto& format) { format.bits_per_pixel = 0; }));
  REQUIRE(refused([](auto& format) { format.red_shift = 12; }));  // beyond 16 bits
  REQUIRE(refused([](auto& format) { format.red_shift = 255; }));
  REQUIRE(refused([](auto& format) { format.green_shift = 11; }));  // over red
  REQUIRE(refused([](auto& format) { format.blue_max = 0xffff; }));
  REQUIRE(refused([](auto& format) { format.depth = 17; }));
  REQUIRE(refused([](auto& format) { format.true_colour = 0; }));  // a map of 16 bits
  REQUIRE_FALSE(refused([](auto&) {}));
}

TEST_CASE("a format of all zeros but its width shows nothing, and does no harm", "[display]") {
  WirePixelFormat format{};
  format.bits_per_pixel = 32;
  format.true_colour = 1;
  REQUIRE(PixelFormat::from_wire(format).value().value(0xffffff) == 0);
}

}  // namespace vireo::display
