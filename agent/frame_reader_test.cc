#include "agent/frame_reader.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

namespace vireo::agent {
namespace {

struct Fixture {
  void feed(std::string_view bytes) {
    const auto space = reader.space();
    REQUIRE(space.size() >= bytes.size());
    std::ranges::copy(bytes_of_text(bytes), space.begin());
    reader.filled(bytes.size());
  }

  std::array<std::byte, 16> buffer{};
  FrameReader reader{buffer};
};

constexpr std::string_view kHeader("\x04\0\0\0\x05\0\0\0\x06\0\0\0", 12);

}  // namespace

TEST_CASE("a frame comes out when it is whole") {
  Fixture f;
  f.feed(kHeader.substr(0, 5));
  CHECK_FALSE(f.reader.next());
  f.feed(kHeader.substr(5));
  f.feed("dat");
  CHECK_FALSE(f.reader.next());
  f.feed("a");
  CHECK(f.reader.space().empty());
  const auto frame = f.reader.next();
  REQUIRE(frame);
  CHECK(frame->channel == 5);
  CHECK(frame->type == 6);
  CHECK(std::ranges::equal(frame->payload, bytes_of_text("data")));
  CHECK_FALSE(f.reader.next());
  CHECK(f.reader.space().size() == 16);
}

TEST_CASE("a frame longer than the buffer breaks the stream for good") {
  Fixture f;
  f.feed(std::string_view("\x05\0\0\0\x05\0\0\0\x06\0\0\0", 12));
  CHECK_FALSE(f.reader.next());
  CHECK(f.reader.broken());
  CHECK_FALSE(f.reader.next());
}

TEST_CASE("reserved bits break the stream") {
  Fixture f;
  f.feed(std::string_view("\0\0\0\0\x05\0\0\0\x06\0\x01\0", 12));
  CHECK_FALSE(f.reader.next());
  CHECK(f.reader.broken());
}

}  // namespace vireo::agent
