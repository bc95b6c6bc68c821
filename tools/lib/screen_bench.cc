// What tools/lib/bench_screen.py needs to compare RFB servers on the same frames:
//
// screen_bench frames FILE
//   writes the frames: 1024×768, 0x00RRGGBB, one behind the other
// screen_bench serve SOCKET FILE
//   shows the frame whose number standard input says, by our server
// screen_bench view SOCKET ENCODING FILE
//   for each number on standard input: waits until it sees that frame, pixel for pixel, and says
//   "BYTES UPDATES"
// screen_bench watch SOCKET
//   waits for updates until standard input ends
// screen_bench type SOCKET COUNT
//   presses a key so many times, and says how many microseconds it took each time until something
//   else was seen
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include <fmt/core.h>

#include "devices/display/rfb/testing/client.h"
#include "devices/display/rfb_server.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/testing/temp_file.h"

namespace vireo::display {
namespace {

constexpr Size kSize{.width = 1024, .height = 768};
constexpr size_t kPixels = size_t{kSize.width} * kSize.height;
using Frame = std::vector<uint32_t>;

// --- frames ---

// Glyphs of a console's size, of strokes: the same 64 for every frame.
class Painter {
 public:
  Painter() {
    for (auto& glyph : glyphs_) {
      for (int stroke = 0; stroke < 4; ++stroke) {
        const unsigned at = below(12) + 2, column = below(6) + 1;
        if (stroke % 2 == 0)
          glyph[at] = static_cast<uint8_t>(0x7e << below(2));
        else
          for (unsigned row = 3; row < at; ++row) glyph[row] |= static_cast<uint8_t>(1 << column);
      }
    }
  }
  Frame page(bool colours) {
    Frame frame(kPixels);
    for (unsigned line = 0; line < 48; ++line) write_line(frame, line, below(110) + 10, colours);
    return frame;
  }
  void write_line(Frame& frame, unsigned line, unsigned length, bool colours) {
    constexpr uint32_t kInks[] = {0xaaaaaa, 0x55ff55, 0x5555ff, 0xff5555, 0xffff55, 0xffffff};
    for (unsigned column = 0; column < length; ++column) {
      const uint32_t ink = colours && column % 16 < 6 ? kInks[(column / 16 + line) % 6] : kInks[0];
      put_glyph(frame, line, column, below(6) == 0 ? 64 : below(64), ink);
    }
  }
  // A picture in many colours, smooth with some grain.
  Frame photo() {
    Frame frame(kPixels);
    const uint32_t base = below(256);
    for (uint32_t y = 0; y < kSize.height; ++y)
      for (uint32_t x = 0; x < kSize.width; ++x) {
        const uint32_t grain = below(3);
        frame[y * kSize.width + x] = ((base + x / 4 + grain) & 0xff) << 16 |
                                     (((x + y) / 7 + grain) & 0xff) << 8 | ((y / 3 + grain) & 0xff);
      }
    return frame;
  }

 private:
  void put_glyph(Frame& frame, unsigned line, unsigned column, size_t glyph, uint32_t ink) {
    for (unsigned y = 0; y < 16; ++y)
      for (unsigned x = 0; x < 8; ++x)
        frame[(line * 16 + y) * kSize.width + column * 8 + x] =
            glyph < 64 && (glyphs_[glyph][y] >> x & 1) != 0 ? ink : 0;
  }
  uint32_t below(uint32_t end) { return static_cast<uint32_t>(random_() % end); }

  std::mt19937 random_{2026};
  std::array<std::array<uint8_t, 16>, 64> glyphs_{};
};

constexpr int kOfEach = 3;
// So many of each kind: pages of a console, coloured ones, a console that scrolls by a line, a line
// that is typed, photographs.
std::vector<Frame> paint_frames() {
  Painter painter;
  std::vector<Frame> frames;
  for (int i = 0; i < kOfEach; ++i) frames.push_back(painter.page(false));
  for (int i = 0; i < kOfEach; ++i) frames.push_back(painter.page(true));
  Frame console = painter.page(true);
  for (int i = 0; i < kOfEach; ++i) {
    frames.push_back(console);
    std::memmove(console.data(), console.data() + kSize.width * 16,
                 (kPixels - kSize.width * 16) * 4);
    std::fill(console.end() - kSize.width * 16, console.end(), 0);
    painter.write_line(console, 47, 60, true);
  }
  for (int i = 0; i < kOfEach; ++i) {
    frames.push_back(console);
    painter.write_line(console, 20, 8 + 8 * static_cast<unsigned>(i), false);
  }
  for (int i = 0; i < kOfEach; ++i) frames.push_back(painter.photo());
  return frames;
}

int write_frames(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) throw_errno("cannot write " + path);
  for (const Frame& frame : paint_frames())
    std::fwrite(frame.data(), sizeof(uint32_t), frame.size(), file);
  return std::fclose(file);
}

// --- our server ---

class Flip final : public Screen {
 public:
  explicit Flip(const std::string& path) : frames_(vireo::testing::read_bytes(path)) {}
  Size size() const override { return kSize; }
  std::span<const std::byte> row(uint16_t y) const override {
    return std::span(frames_).subspan((shown_ * kPixels + size_t{y} * kSize.width) * 4,
                                      size_t{kSize.width} * 4);
  }
  std::vector<Rows> take_changes() override {
    if (!std::exchange(flipped_, false)) return {};
    return {{.first = 0, .count = kSize.height}};
  }
  void show(size_t frame) {
    shown_ = frame;
    flipped_ = true;
  }

 private:
  const std::vector<std::byte> frames_;
  size_t shown_ = 0;
  bool flipped_ = true;
};

class NoInput final : public Input {
 public:
  void key(uint16_t /*code*/, bool /*pressed*/) override {}
  void pointer(uint16_t /*x*/, uint16_t /*y*/, uint8_t /*buttons*/) override {}
};

int serve(const std::string& socket, const std::string& path) {
  Flip screen(path);
  NoInput input;
  EventLoop loop;
  RfbServer server(loop, screen, input, {.vnc = "unix:" + socket});
  const auto commands = loop.watch(STDIN_FILENO, EPOLLIN, [&](uint32_t) {
    std::array<char, 64> line{};
    if (::read(STDIN_FILENO, line.data(), line.size() - 1) <= 0) return loop.stop();
    screen.show(std::stoul(line.data()));
  });
  std::puts("ready");
  std::fflush(stdout);
  loop.run();
  block_on(loop, server.stop());
  return 0;
}

// --- the viewer ---

int view(const std::string& socket, const std::string& name, const std::string& path) {
  const std::vector<std::byte> frames = vireo::testing::read_bytes(path);
  const int32_t number = name == "tight" ? encoding::kTight : encoding::kZrle;
  EventLoop loop;
  Client client(loop, "unix:" + socket);
  client.join(true, {number, encoding::kCopyRect, encoding::kLastRect});
  client.ask(false);
  std::array<char, 64> line{};
  while (std::fgets(line.data(), line.size(), stdin) != nullptr) {
    const std::byte* const expected = frames.data() + std::stoul(line.data()) * kPixels * 4;
    const size_t before = client.received;
    int updates = 0;
    do {
      while (client.viewer.message() != from_server::kUpdate) {
      }
      client.ask();
      ++updates;
    } while (std::memcmp(client.viewer.picture.data(), expected, kPixels * 4) != 0);
    std::puts(fmt::format("{} {}", client.received - before, updates).c_str());
    std::fflush(stdout);
  }
  return 0;
}

int watch(const std::string& socket) {
  EventLoop loop;
  Client client(loop, "unix:" + socket);
  client.join(true, {encoding::kTight});
  client.ask(false);
  const auto end = loop.watch(STDIN_FILENO, EPOLLIN | EPOLLHUP, [&](uint32_t) { loop.stop(); });
  const auto news = loop.watch(client.fd(), EPOLLIN, [&](uint32_t) {
    client.viewer.message();
    client.ask();
  });
  loop.run();
  return 0;
}

// As a person types: a key goes up soon, and the next one comes at no regular time, when the server
// has gone over to looking seldom.
int type(const std::string& socket, int count) {
  constexpr uint32_t kSpace = 0x39;
  constexpr size_t kLastPainted = 115 * size_t{kSize.width} + 107;  // guest-tests' key_to_pixel.c
  EventLoop loop;
  Client client(loop, "unix:" + socket);
  client.join(true, {encoding::kTight, encoding::kExtendedKey});
  std::mt19937 random{2026};
  client.update(false);
  for (int i = 0; i < count; ++i) {
    client.ask();
    std::this_thread::sleep_for(std::chrono::milliseconds(150 + random() % 300));
    const uint32_t before = client.viewer.picture[kLastPainted];
    const auto pressed = std::chrono::steady_clock::now();
    client.scancode(kSpace, true);
    do {
      client.ask();
      pollfd ready{.fd = client.fd(), .events = POLLIN, .revents = 0};
      ::poll(&ready, 1, -1);
      client.viewer.message();
    } while (client.viewer.picture[kLastPainted] == before);
    const auto seen = std::chrono::steady_clock::now() - pressed;
    client.scancode(kSpace, false);
    std::puts(fmt::format("{}", seen / std::chrono::microseconds(1)).c_str());
  }
  return 0;
}

}  // namespace
}  // namespace vireo::display

int main(int argc, char** argv) {
  using namespace vireo::display;
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 2 && words[0] == "frames") return write_frames(words[1]);
    if (words.size() == 3 && words[0] == "serve") return serve(words[1], words[2]);
    if (words.size() == 4 && words[0] == "view") return view(words[1], words[2], words[3]);
    if (words.size() == 2 && words[0] == "watch") return watch(words[1]);
    if (words.size() == 3 && words[0] == "type") return type(words[1], std::stoi(words[2]));
    std::fputs("screen_bench: see the top of tools/lib/screen_bench.cc\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "screen_bench: %s\n", vireo::describe(error).c_str());
  }
  return 1;
}
