#include "devices/display/rfb/updates.h"

#include <catch2/catch.hpp>

#include "devices/display/rfb/testing/viewer.h"
#include "devices/display/testing/painted_screen.h"

namespace vireo::display {
namespace {

WirePixelFormat wire_format(uint8_t bits, uint8_t depth, bool big_endian,
                            std::array<uint16_t, 3> max, std::array<uint8_t, 3> shift) {
  return {.bits_per_pixel = bits,
          .depth = depth,
          .big_endian = big_endian,
          .true_colour = 1,
          .red_max = max[0],
          .green_max = max[1],
          .blue_max = max[2],
          .red_shift = shift[0],
          .green_shift = shift[1],
          .blue_shift = shift[2]};
}

// A viewer of a painted screen, without a connection between them.
class Pair {
 public:
  explicit Pair(Size size, std::vector<int32_t> encodings, unsigned seed = 1,
                size_t slice = Updates::kSlice)
      : screen(size, seed), picture_(screen) {
    picture_.refresh();
    updates.emplace(picture_.size(), false, slice);
    updates->set_encodings(encodings);
    viewer.resize(size);
  }

  void use(const WirePixelFormat& wire) {
    updates->set_format(PixelFormat::from_wire(wire).value());
    viewer.format = *PixelFormat::from_wire(wire);
  }
  void look(bool now = true) { updates->picture_changed(picture_.refresh(), screen.size(), now); }
  Rect all() const { return {.x = 0, .y = 0, .width = 0xffff, .height = 0xffff}; }
  void ask(bool incremental = true) {
    updates->request({.incremental = incremental, .rect = all()});
  }
  // All that is due, as the viewer takes it; false: nothing was.
  bool deliver() {
    if (!updates->due()) return false;
    ByteWriter out;
    wire_.clear();
    pieces = 0;
    for (bool more = true; more;) {
      more = updates->write(picture_, out);
      ++pieces;
      const std::vector<std::byte> piece = out.take();
      wire_.insert(wire_.end(), piece.begin(), piece.end());
      if (more && between_pieces) between_pieces();
    }
    at_ = 0;
    while (at_ < wire_.size()) viewer.message();
    return true;
  }
  void check_same() {
    size_t different = 0;
    for (size_t y = 0; y < screen.size().height; ++y)
      for (size_t x = 0; x < screen.size().width; ++x)
        different +=
            viewer.picture[y * screen.size().width + x] != viewer.format.value(screen.pixel(x, y));
    REQUIRE(different == 0);
  }

  PaintedScreen screen;
  std::optional<Updates> updates;
  Viewer viewer{[this](size_t length) {
    if (wire_.size() - at_ < length) throw std::runtime_error("the update ends too early");
    const auto from = wire_.begin() + static_cast<ptrdiff_t>(std::exchange(at_, at_ + length));
    return Viewer::Bytes(from, from + static_cast<ptrdiff_t>(length));
  }};
  int pieces = 0;  // of the last update
  std::function<void()> between_pieces;

 private:
  Picture picture_;
  std::vector<std::byte> wire_;
  size_t at_ = 0;
};

// Paints, and looks at the viewer's picture after each update.
void paint_frames(Pair& pair, int frames) {
  pair.ask(false);
  for (int frame = 0; frame < frames; ++frame) {
    pair.screen.paint();
    if (frame % 3 == 0) pair.screen.paint();
    pair.look(frame % 7 != 0);
    if (frame % 5 == 4) continue;  // a viewer that is late
    if (pair.deliver()) pair.ask();
    pair.check_same();
  }
  pair.look();
  pair.deliver();
  pair.check_same();
}

}  // namespace

TEST_CASE("every encoding shows what is painted, pixel for pixel", "[display]") {
  const int32_t number =
      GENERATE(encoding::kRaw, encoding::kHextile, encoding::kZrle, encoding::kTight);
  const bool features = GENERATE(false, true);
  std::vector<int32_t> encodings{number};
  if (features) encodings.insert(encodings.end(), {encoding::kCopyRect, encoding::kLastRect});
  Pair pair({.width = 203, .height = 101}, encodings, static_cast<unsigned>(number));
  paint_frames(pair, 300);
  REQUIRE(pair.viewer.seen[number] > 0);
  REQUIRE((pair.viewer.seen[encoding::kCopyRect] > 0) == features);
}

TEST_CASE("every pixel format is right in every encoding", "[display]") {
  const int32_t number =
      GENERATE(encoding::kRaw, encoding::kHextile, encoding::kZrle, encoding::kTight);
  const bool big_endian = GENERATE(false, true);
  const WirePixelFormat format =
      GENERATE_COPY(wire_format(32, 24, big_endian, {255, 255, 255}, {0, 8, 16}),
                    wire_format(32, 24, big_endian, {255, 255, 255}, {24, 16, 8}),
                    wire_format(32, 24, big_endian, {255, 255, 255}, {16, 8, 0}),
                    wire_format(32, 30, big_endian, {1023, 1023, 1023}, {20, 10, 0}),
                    wire_format(16, 16, big_endian, {31, 63, 31}, {11, 5, 0}),
                    wire_format(16, 15, big_endian, {31, 31, 31}, {10, 5, 0}),
                    wire_format(8, 8, big_endian, {7, 7, 3}, {0, 3, 6}),
                    wire_format(8, 6, big_endian, {3, 3, 3}, {4, 2, 0}));
  Pair pair({.width = 70, .height = 67}, {number}, 7);
  pair.use(format);
  paint_frames(pair, 25);
}

TEST_CASE("a viewer that asks for messages on and on is told each once", "[display]") {
  constexpr size_t kColourMap = 6 + 256 * 6, kXvp = 4;
  Updates updates({.width = 8, .height = 8}, true);
  const PixelFormat mapped = PixelFormat::from_wire({.bits_per_pixel = 8}).value();
  for (int i = 0; i < 10'000; ++i) {
    updates.set_format(mapped);
    updates.set_encodings(std::array{encoding::kRaw, encoding::kXvp});
    updates.refuse_power();
    updates.refuse_desktop_size();
  }
  PaintedScreen screen({.width = 8, .height = 8});
  Picture picture(screen);
  picture.refresh();
  ByteWriter out;
  REQUIRE(updates.due());
  REQUIRE_FALSE(updates.write(picture, out));
  REQUIRE(out.size() == kColourMap + 2 * kXvp);
  REQUIRE_FALSE(updates.due());
}

TEST_CASE("a viewer that wants a colour map gets ours", "[display]") {
  WirePixelFormat format = wire_format(8, 8, false, {0, 0, 0}, {0, 0, 0});
  format.true_colour = 0;
  Pair pair({.width = 40, .height = 30}, {encoding::kHextile});
  pair.use(format);
  paint_frames(pair, 5);
  REQUIRE(pair.viewer.colour_maps == 1);
}

TEST_CASE("nothing is due without a request or a change", "[display]") {
  Pair pair({.width = 64, .height = 48}, {encoding::kTight});
  REQUIRE_FALSE(pair.updates->due());
  pair.ask();
  REQUIRE(pair.deliver());
  pair.ask();
  pair.look();
  REQUIRE_FALSE(pair.updates->due());
  REQUIRE(pair.updates->waiting());
  pair.screen.fill({.x = 3, .y = 3, .width = 1, .height = 1}, 0xff0000);
  pair.look();
  REQUIRE(pair.deliver());
  REQUIRE_FALSE(pair.updates->waiting());
}

TEST_CASE("only the tiles that differ are sent, though the whole screen may have changed",
          "[display]") {
  Pair pair({.width = 320, .height = 240}, {encoding::kRaw});
  pair.ask();
  pair.deliver();
  pair.viewer.pixels_sent = 0;
  pair.ask();
  pair.screen.fill({.x = 0, .y = 0, .width = 320, .height = 240}, 0);  // as it was
  pair.screen.fill({.x = 100, .y = 50, .width = 2, .height = 2}, 0x00ff00);
  pair.look();
  REQUIRE(pair.deliver());
  REQUIRE(pair.viewer.pixels_sent == size_t{kTileWidth} * kTileHeight);
  pair.check_same();
}

TEST_CASE("a console that scrolls is copied, and only its new line is sent", "[display]") {
  Pair pair({.width = 640, .height = 480}, {encoding::kRaw, encoding::kCopyRect});
  pair.screen.console();
  pair.look();
  pair.ask();
  pair.deliver();
  for (const uint16_t rows : {uint16_t{16}, uint16_t{16}, uint16_t{48}, uint16_t{5}}) {
    pair.viewer.pixels_sent = 0;
    pair.screen.scroll_up(rows);
    pair.ask();
    pair.look();
    REQUIRE(pair.deliver());
    pair.check_same();
    REQUIRE(pair.viewer.pixels_sent <= size_t{640} * (size_t{rows} + 2 * kTileHeight));
  }
  REQUIRE(pair.viewer.seen[encoding::kCopyRect] == 4);
}

TEST_CASE("a viewer with a part of the picture still missing can be scrolled", "[display]") {
  Pair pair({.width = 320, .height = 200}, {encoding::kZrle, encoding::kCopyRect});
  pair.screen.console();
  pair.look();
  pair.ask();
  pair.deliver();
  for (int i = 0; i < 40; ++i) {
    pair.screen.paint();
    pair.look();
    pair.screen.scroll_up(static_cast<uint16_t>(8 + i));
    pair.ask();
    pair.look();
    pair.deliver();
    pair.check_same();
  }
}

TEST_CASE("a request for a part gets that part, and the rest later", "[display]") {
  Pair pair({.width = 128, .height = 128}, {encoding::kRaw});
  pair.screen.noise({.x = 0, .y = 0, .width = 128, .height = 128});
  pair.look();
  pair.updates->request({.incremental = true, .rect = {.x = 0, .y = 0, .width = 64, .height = 64}});
  REQUIRE(pair.deliver());
  REQUIRE(pair.viewer.pixels_sent == 64 * 64);
  pair.updates->request({.incremental = true, .rect = {.x = 0, .y = 0, .width = 64, .height = 64}});
  REQUIRE_FALSE(pair.deliver());
  pair.ask();
  REQUIRE(pair.deliver());
  REQUIRE(pair.viewer.pixels_sent == 128 * 128);
  pair.check_same();
}

TEST_CASE("requests beyond the screen are clipped", "[display]") {
  Pair pair({.width = 60, .height = 50}, {encoding::kRaw});
  pair.updates->request(
      {.incremental = false, .rect = {.x = 59, .y = 49, .width = 0xffff, .height = 0xffff}});
  REQUIRE(pair.deliver());
  pair.updates->request(
      {.incremental = false, .rect = {.x = 60, .y = 0, .width = 1, .height = 0xffff}});
  REQUIRE_FALSE(pair.deliver());
  pair.updates->request({.incremental = false, .rect = {}});
  REQUIRE_FALSE(pair.deliver());
}

TEST_CASE("a change of size is told as the viewer understands it", "[display]") {
  const int32_t number = GENERATE(encoding::kDesktopSize, encoding::kExtendedDesktopSize);
  Pair pair({.width = 100, .height = 80}, {encoding::kHextile, number});
  pair.ask();
  REQUIRE(pair.deliver());
  pair.ask();
  pair.deliver();
  for (const Size size : {Size{130, 60}, Size{64, 90}}) {
    pair.screen.resize(size);
    pair.screen.paint();
    pair.ask();
    pair.look();
    pair.deliver();
    REQUIRE(pair.viewer.size == size);
    pair.ask();
    pair.deliver();
    pair.check_same();
  }
}

TEST_CASE("a viewer that cannot follow a change of size gets what it can show", "[display]") {
  Pair pair({.width = 100, .height = 80}, {encoding::kRaw});
  pair.ask();
  pair.deliver();
  pair.screen.resize({.width = 50, .height = 200});
  pair.screen.paint();
  pair.ask();
  pair.look();
  REQUIRE(pair.deliver());
  REQUIRE(pair.viewer.size == Size{100, 80});
  for (size_t y = 0; y < 80; ++y)
    for (size_t x = 0; x < 50; ++x)
      REQUIRE(pair.viewer.picture[y * 100 + x] == pair.screen.pixel(x, y));
}

TEST_CASE("an update is cut for a viewer that knows LastRect", "[display]") {
  Pair pair({.width = 500, .height = 400},
            {encoding::kRaw, encoding::kLastRect, encoding::kDesktopSize}, 1, 100'000);
  pair.ask();
  pair.deliver();
  REQUIRE(pair.pieces == 1);  // a screen of that size is one rectangle
  REQUIRE(pair.viewer.seen[encoding::kLastRect] == 0);
  for (uint16_t y = 0; y < 400; y += 80)
    pair.screen.noise({.x = 0, .y = y, .width = 480, .height = 64});
  pair.look();
  pair.ask();
  pair.deliver();
  REQUIRE(pair.pieces == 5);
  REQUIRE(pair.viewer.seen[encoding::kLastRect] == 1);
  pair.check_same();
}

TEST_CASE("a change of size in the middle of an update ends it", "[display]") {
  Pair pair({.width = 500, .height = 400},
            {encoding::kRaw, encoding::kLastRect, encoding::kDesktopSize}, 1, 100'000);
  pair.ask();
  pair.deliver();
  for (uint16_t y = 0; y < 400; y += 80)
    pair.screen.noise({.x = 0, .y = y, .width = 480, .height = 64});
  pair.look();
  pair.ask();
  pair.between_pieces = [&] {
    pair.screen.resize({.width = 64, .height = 32});
    pair.screen.console();
    pair.look(false);
  };
  pair.deliver();
  REQUIRE(pair.pieces == 2);
  REQUIRE(pair.viewer.seen[encoding::kLastRect] == 1);
  pair.between_pieces = nullptr;
  for (int i = 0; i < 2; ++i) {
    pair.ask();
    pair.deliver();
  }
  REQUIRE(pair.viewer.size == Size{64, 32});
  pair.check_same();
}

TEST_CASE("what a viewer can do is told once", "[display]") {
  Pair pair({.width = 64, .height = 64}, {encoding::kTight, encoding::kCursor,
                                          encoding::kExtendedKey, encoding::kExtendedDesktopSize});
  for (int i = 0; i < 3; ++i) {
    pair.ask();
    pair.deliver();
  }
  REQUIRE(pair.viewer.seen[encoding::kCursor] == 1);
  REQUIRE(pair.viewer.seen[encoding::kExtendedKey] == 1);
  REQUIRE(pair.viewer.seen[encoding::kExtendedDesktopSize] == 1);
  REQUIRE(pair.viewer.desktop_reason == 0);
  pair.check_same();
  pair.updates->refuse_desktop_size();
  pair.deliver();
  REQUIRE(pair.viewer.desktop_reason == 1);
  REQUIRE(pair.viewer.desktop_status == 1);
}

TEST_CASE("Tight uses each of its filters", "[display]") {
  Pair pair({.width = 256, .height = 128}, {encoding::kTight});
  const Rect all{.x = 0, .y = 0, .width = 256, .height = 128};
  const auto show = [&] {
    pair.ask();
    pair.look();
    pair.deliver();
    pair.check_same();
  };
  show();
  REQUIRE(pair.viewer.tight_controls[8] == 1);
  pair.screen.text(all, 0xffffff, 0x000080);
  show();
  REQUIRE(pair.viewer.tight_controls[5] == 1);
  pair.screen.few_colours(all);
  show();
  REQUIRE(pair.viewer.tight_controls[6] == 1);
  pair.screen.gradient(all);
  show();
  REQUIRE(pair.viewer.tight_controls[7] == 1);
  pair.screen.noise(all);
  show();
  REQUIRE(pair.viewer.tight_controls[0] == 1);
}

}  // namespace vireo::display
