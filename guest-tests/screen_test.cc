// The screen, the keyboard and the mouse, with guests that use them bare.
#include <linux/input-event-codes.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/display/rfb/testing/client.h"
#include "guest-tests/harness.h"

namespace vireo::guest_tests {
namespace {

constexpr display::Size kMode{640, 480};

// What painter.c paints, by the same numbers.
class Painting {
 public:
  explicit Painting(uint64_t seed) : state_(seed), pixels_(size_t{kMode.width} * kMode.height) {}

  void next_frame() {
    for (uint32_t i = below(4); i > 0; --i) rectangle();
  }
  // But for the byte of a pixel that has no meaning.
  bool is(const std::vector<uint32_t>& picture) const {
    return std::ranges::equal(picture, pixels_, {}, {}, [](uint32_t p) { return p & 0xffffff; });
  }
  std::span<const std::byte> row(uint16_t y) const {
    return std::as_bytes(std::span(pixels_).subspan(size_t{y} * kMode.width, kMode.width));
  }

 private:
  uint32_t random() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<uint32_t>(state_ >> 32);
  }
  uint32_t below(uint32_t limit) { return random() % limit; }
  void rectangle() {
    const uint32_t x = below(kMode.width), y = below(kMode.height);
    const uint32_t width = below(1 + (kMode.width - x) % 24) + 1;
    const uint32_t height = below(1 + (kMode.height - y) % 6) + 1;
    const uint32_t colour = random();
    for (uint32_t row = y; row < std::min<uint32_t>(y + height, kMode.height); ++row)
      for (uint32_t column = x; column < std::min<uint32_t>(x + width, kMode.width); ++column)
        pixels_[row * kMode.width + column] = colour;
  }

  uint64_t state_;
  std::vector<uint32_t> pixels_;
};

// What a viewer sees who copies just the rows that are told to have changed.
class Viewer {
 public:
  explicit Viewer(const dev::DisplayDevices& display) : display_(display) {}

  void look() {
    call(display_.loop, [this] {
      for (const display::Rows rows : display_.screen.take_changes())
        for (int y = rows.first; y < rows.first + rows.count; ++y) copy(static_cast<uint16_t>(y));
    });
  }
  bool sees(const Painting& painting) const {
    for (uint16_t y = 0; y < kMode.height; ++y)
      if (std::memcmp(&picture_[y * kStride], painting.row(y).data(), kStride) != 0) return false;
    return true;
  }
  size_t rows_copied() const noexcept { return rows_copied_; }

 private:
  static constexpr size_t kStride = size_t{kMode.width} * 4;
  void copy(uint16_t y) {
    std::memcpy(&picture_[y * kStride], display_.screen.row(y).data(), kStride);
    ++rows_copied_;
  }

  const dev::DisplayDevices& display_;
  std::vector<std::byte> picture_ = std::vector<std::byte>(kStride * kMode.height);
  size_t rows_copied_ = 0;
};

}  // namespace

TEST_CASE("who copies what changed sees the screen as it is, pixel for pixel") {
  constexpr uint64_t kSeed = 20;
  constexpr int kFrames = 3000;
  TestMachine machine("painter", {.arguments = "seed=20", .screen = kMode});
  Viewer viewer(machine.display());
  Painting painting(kSeed);
  machine.start();
  machine.expect("ready");
  viewer.look();
  REQUIRE(viewer.sees(painting));
  REQUIRE(viewer.rows_copied() == kMode.height);
  int wrong = 0;
  for (int frame = 0; frame < kFrames; ++frame) {
    painting.next_frame();
    machine.console().write("n");
    if (frame % 3 == 0) viewer.look();  // while it paints
    machine.expect(".");
    viewer.look();
    wrong += viewer.sees(painting) ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(viewer.rows_copied() < size_t{kFrames} * 64);  // and not much more than what changed
  machine.console().write("q");
  CHECK(machine.wait().end->value == 0);
}

TEST_CASE("a viewer sees what the guest paints, pixel for pixel") {
  const TemporaryDirectory directory;
  TestMachine machine("painter", {.arguments = "seed=5", .screen = kMode});
  const auto addresses = dev::serve_display(machine.machine(), machine.display(),
                                            {.vnc = "unix:" + (directory.path() / "vnc").string()});
  Painting painting(5);
  machine.start();
  machine.expect("ready");
  EventLoop loop;
  display::Client client(loop, addresses.at(0));
  client.join(true, {display::encoding::kZrle, display::encoding::kCopyRect});
  client.update(false);
  for (int part = 0; part < 60; ++part) {
    constexpr int kFrames = 50;
    machine.console().write(std::string(kFrames, 'n'));
    for (int frame = 0; frame < kFrames; ++frame) painting.next_frame();
    machine.expect(std::string(kFrames, '.'));
    // An update that never comes is an exception.
    while (!painting.is(client.viewer.picture)) client.update();
  }
  CHECK(client.viewer.size == kMode);
  client.leave();
  machine.console().write("q");
  CHECK(machine.wait().end->value == 0);
}

TEST_CASE("a guest paints a hundred frames that nobody looks at, and all are there") {
  TestMachine machine("painter", {.arguments = "seed=7", .screen = kMode});
  Viewer viewer(machine.display());
  Painting painting(7);
  machine.start();
  machine.expect("ready");
  for (int frame = 0; frame < 100; ++frame) painting.next_frame();
  machine.console().write(std::string(100, 'n'));
  machine.expect(std::string(100, '.'));
  viewer.look();
  CHECK(viewer.sees(painting));
  machine.console().write("q");
  CHECK(machine.wait().end->value == 0);
}

TEST_CASE("a screen is part of a snapshot") {
  const TemporaryDirectory directory;
  const GuestOptions options{.arguments = "seed=3", .screen = kMode};
  Painting painting(3);
  for (int frame = 0; frame < 20; ++frame) painting.next_frame();
  {
    TestMachine machine("painter", options);
    machine.start();
    machine.expect("ready");
    machine.console().write(std::string(20, 'n'));
    machine.expect(std::string(20, '.'));
    machine.machine().pause();
    machine.machine().save(directory.path() / "saved");
  }
  TestMachine machine(Snapshot::open(directory.path() / "saved"), options);
  Viewer viewer(machine.display());
  machine.start();
  viewer.look();
  CHECK(viewer.sees(painting));
  painting.next_frame();
  machine.console().write("n");
  machine.expect(".");
  viewer.look();
  CHECK(viewer.sees(painting));
  CHECK_THROWS_AS(TestMachine(Snapshot::open(directory.path() / "saved"),
                              {.arguments = "seed=3", .screen = display::Size{800, 600}}),
                  ConfigError);
}

TEST_CASE("a reset blanks the screen, and lets go of the keyboard") {
  TestMachine machine("painter", {.arguments = "seed=9", .reboot = true, .screen = kMode});
  Viewer viewer(machine.display());
  machine.start();
  machine.expect("ready");
  machine.console().write("nnnnn");
  machine.expect(".....");
  call(machine.display().loop, [&] { machine.display().input.key(KEY_A, true); });
  viewer.look();
  CHECK_FALSE(viewer.sees(Painting(9)));
  machine.console().write("r");
  machine.expect("ready");  // it has looked whether all is black
  viewer.look();
  CHECK(viewer.sees(Painting(9)));
  machine.console().write("q");
  CHECK(machine.wait().end->value == 0);
}

TEST_CASE("keys and the mouse arrive at a guest that polls") {
  TestMachine machine("ps2_keys", {.screen = kMode});
  machine.start();
  machine.expect("listening");
  const auto use = [&](auto function) {
    call(machine.display().loop, [&] { function(machine.display().input); });
  };
  use([](display::Input& input) {
    input.key(KEY_A, true);
    input.key(KEY_A, true);
    input.key(KEY_A, false);
    input.key(KEY_PAGEUP, true);
    input.key(KEY_PAGEUP, false);
  });
  machine.expect("k0x1e\nk0x1e\nk0x9e\nk0xe0\nk0x49\nk0xe0\nk0xc9\n");
  use([](display::Input& input) { input.pointer(10, 300, display::Input::kLeft); });
  machine.expect("m0x29\nm0xa\nm0x1\nm0x29\nm0x0\nm0xd3\n");  // 300 down, in two steps
  machine.machine().pause();
  use([](display::Input& input) { input.key(KEY_X, true); });
  machine.machine().resume();
  use([](display::Input& input) { input.pointer(10, 300, 0); });
  machine.expect("m0x8\nm0x0\nm0x0\n");
  use([](display::Input& input) {
    input.key(KEY_X, false);
    input.key(KEY_ESC, true);
    input.key(KEY_ESC, false);
  });
  const Outcome outcome = machine.wait();
  INFO(describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->value == 0);
  CHECK(outcome.text.ends_with("m0x0\nk0x1\nk0x81\n"));
}

}  // namespace vireo::guest_tests
