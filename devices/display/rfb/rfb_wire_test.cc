#include "devices/display/rfb/rfb_wire.h"

#include <initializer_list>

#include <catch2/catch.hpp>

namespace vireo::display {
namespace {

using Status = ParsedMessage::Status;

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

Status status_of(std::initializer_list<int> values) {
  return parse_message(bytes(values)).status;
}

// Parsed whole; anything shorter is incomplete, and what follows is left alone.
template <class T>
T only(std::vector<std::byte> wire) {
  for (size_t length = 0; length < wire.size(); ++length)
    REQUIRE(parse_message(std::span(wire).first(length)).status == Status::incomplete);
  const size_t length = wire.size();
  wire.push_back(std::byte{0xee});
  const ParsedMessage parsed = parse_message(wire);
  REQUIRE(parsed.status == Status::complete);
  REQUIRE(parsed.length == length);
  return std::get<T>(parsed.message);
}

}  // namespace

TEST_CASE("a viewer's messages are understood", "[display]") {
  const auto format = only<SetPixelFormat>(
      bytes({0, 0, 0, 0, 16, 15, 1, 1, 0, 31, 0, 31, 0, 31, 10, 5, 0, 0, 0, 0}));
  REQUIRE(format.format.bits_per_pixel == 16);
  REQUIRE(format.format.red_max == 31);
  REQUIRE(format.format.red_shift == 10);
  const auto encodings =
      only<SetEncodings>(bytes({2, 0, 0, 2, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0x20}));
  REQUIRE(encodings.encodings == std::vector<int32_t>{encoding::kTight, encoding::kLastRect});
  const auto request = only<UpdateRequest>(bytes({3, 1, 0, 1, 0, 2, 0, 3, 0, 4}));
  REQUIRE(request.incremental);
  REQUIRE(request.rect == Rect{.x = 1, .y = 2, .width = 3, .height = 4});
  const auto key = only<KeyEvent>(bytes({4, 1, 0, 0, 0, 0, 0xff, 0x0d}));
  REQUIRE((key.pressed && key.keysym == 0xff0d && key.scancode == 0));
  const auto pointer = only<PointerEvent>(bytes({5, 9, 1, 0, 0, 2}));
  REQUIRE((pointer.buttons == 9 && pointer.x == 256 && pointer.y == 2));
  REQUIRE(only<CutText>(bytes({6, 0, 0, 0, 0, 0, 0, 5})).length == 5);
  REQUIRE(only<XvpRequest>(bytes({250, 0, 1, 2})).code == XvpRequest::Code::shutdown);
  std::vector<std::byte> size = bytes({251, 0, 4, 0, 3, 0, 1, 0});
  size.resize(size.size() + 16);
  only<SetDesktopSize>(size);
  const auto extended = only<KeyEvent>(bytes({255, 0, 0, 0, 0, 0, 0, 0x61, 0, 0, 0, 0x1e}));
  REQUIRE((!extended.pressed && extended.keysym == 0x61 && extended.scancode == 0x1e));
}

TEST_CASE("what no viewer may say is refused before anything is done with it", "[display]") {
  REQUIRE(status_of({1}) == Status::invalid);
  REQUIRE(status_of({7, 0, 0, 0}) == Status::invalid);
  REQUIRE(status_of({2, 0, 4, 1}) == Status::invalid);  // 1025 encodings
  REQUIRE(status_of({2, 0, 0xff, 0xff}) == Status::invalid);
  REQUIRE(status_of({250, 0, 2, 2}) == Status::invalid);
  REQUIRE(status_of({250, 0, 1, 9}) == Status::invalid);
  REQUIRE(status_of({255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) == Status::invalid);  // audio
}

TEST_CASE("clipboard texts may be as long as they can be said to be", "[display]") {
  const auto length = [](std::initializer_list<int> four) {
    std::vector<std::byte> wire = bytes({6, 0, 0, 0});
    for (const int byte : four) wire.push_back(static_cast<std::byte>(byte));
    return only<CutText>(wire).length;
  };
  REQUIRE(length({0, 0x10, 0, 1}) == (1 << 20) + 1);
  REQUIRE(length({0x7f, 0xff, 0xff, 0xff}) == 0x7fffffff);
  // The extended clipboard's are negative.
  REQUIRE(length({0xff, 0xff, 0xff, 0xfc}) == 4);
  REQUIRE(length({0x80, 0, 0, 1}) == 0x7fffffff);
  REQUIRE(length({0x80, 0, 0, 0}) == 0x80000000);
}

TEST_CASE("the longest message fits where messages are kept", "[display]") {
  std::vector<std::byte> wire = bytes({2, 0, 4, 0});
  wire.resize(kMaxMessage);
  REQUIRE(only<SetEncodings>(wire).encodings.size() == kMaxEncodings);
}

TEST_CASE("versions are those of the RFC, and all others of its kind are 3.3", "[display]") {
  const auto version = [](std::string_view line) { return parse_version(bytes_of_text(line)); };
  REQUIRE(version("RFB 003.003\n") == Version::v3_3);
  REQUIRE(version("RFB 003.005\n") == Version::v3_3);
  REQUIRE(version("RFB 003.007\n") == Version::v3_7);
  REQUIRE(version("RFB 003.008\n") == Version::v3_8);
  REQUIRE(version("RFB 003.889\n") == Version::v3_3);
  REQUIRE_FALSE(version("RFB 004.001\n"));
  REQUIRE_FALSE(version("RFB 003.00x\n"));
  REQUIRE_FALSE(version("RFB 003.008\r"));
  REQUIRE_FALSE(version("GET / HTTP/1"));
  REQUIRE_FALSE(version("RFB 003.8\n"));
}

}  // namespace vireo::display
