// A screen without a machine, for tools/tests/screen-test: painted once, and then with a square for
// each key. Says on standard output where it listens and what viewers press; ends with its standard
// input, or when the power button is pressed.
//
// screen_server [vnc=ADDRESS] [web=ADDRESS] [password=…] [certificate=… key=…] [keyboard=…]
//   [picture=FILE.ppm]       the picture as it is painted first, to compare with
#include <sys/epoll.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <string>

#include <fmt/core.h>

#include "devices/display/rfb_server.h"
#include "devices/display/testing/painted_screen.h"
#include "vmm/base/error.h"

namespace vireo::display {
namespace {

constexpr Size kSize{.width = 800, .height = 600};

class Reporter final : public Input {
 public:
  explicit Reporter(PaintedScreen& screen) : screen_(screen) {}
  void key(uint16_t code, bool pressed) override {
    say(fmt::format("key {} {}", code, pressed ? "down" : "up"));
    if (!pressed) return;
    const uint16_t x = static_cast<uint16_t>(count_++ % 40 * 20);
    screen_.fill({.x = x, .y = 580, .width = 16, .height = 16}, 0xffffff - code * 0x010305U);
  }
  void pointer(uint16_t x, uint16_t y, uint8_t buttons) override {
    say(fmt::format("pointer {} {} {}", x, y, buttons));
  }
  static void say(const std::string& text) {
    std::puts(text.c_str());
    std::fflush(stdout);
  }

 private:
  PaintedScreen& screen_;
  unsigned count_ = 0;
};

void paint(PaintedScreen& screen) {
  screen.console();
  screen.gradient({.x = 500, .y = 40, .width = 250, .height = 200});
  screen.few_colours({.x = 30, .y = 300, .width = 200, .height = 150});
  screen.noise({.x = 400, .y = 300, .width = 64, .height = 64});
  for (unsigned i = 0; i < 8; ++i)  // pure colours, which a lossy screenshot keeps apart
    screen.fill({.x = static_cast<uint16_t>(i * 100), .y = 500, .width = 100, .height = 60},
                (i & 1 ? 0xff0000U : 0U) | (i & 2 ? 0x00ff00U : 0U) | (i & 4 ? 0x0000ffU : 0U));
  screen.fill({.x = 0, .y = 570, .width = kSize.width, .height = 30}, 0);
}

void save(const PaintedScreen& screen, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  file << fmt::format("P6\n{} {}\n255\n", kSize.width, kSize.height);
  for (size_t y = 0; y < kSize.height; ++y)
    for (size_t x = 0; x < kSize.width; ++x)
      for (const int shift : {16, 8, 0}) file.put(static_cast<char>(screen.pixel(x, y) >> shift));
  if (!file.flush()) throw ConfigError(fmt::format("cannot write '{}'", path));
}

RfbConfig config_from(std::map<std::string, std::string>& options, EventLoop& loop) {
  return {.vnc = options["vnc"],
          .web = options["web"],
          .name = "screen test",
          .keyboard = options.contains("keyboard") ? options["keyboard"] : "en-us",
          .password = options["password"],
          .certificate = options["certificate"],
          .key = options["key"],
          .power_button =
              [&loop] {
                Reporter::say("power");
                loop.stop();
              },
          .log = Logger::to_stderr(LogLevel::info)};
}

int run(std::map<std::string, std::string> options) {
  PaintedScreen screen(kSize);
  paint(screen);
  if (options.contains("picture")) save(screen, options["picture"]);
  Reporter input(screen);
  EventLoop loop;
  RfbServer server(loop, screen, input, config_from(options, loop));
  for (const std::string& address : server.addresses()) Reporter::say("listens on " + address);
  const auto end = loop.watch(STDIN_FILENO, EPOLLIN, [&](uint32_t) { loop.stop(); });
  loop.run();
  block_on(loop, server.stop());
  Reporter::say("stopped");
  return 0;
}

}  // namespace
}  // namespace vireo::display

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    options[text.substr(0, equals)] = equals == std::string::npos ? "" : text.substr(equals + 1);
  }
  try {
    return vireo::display::run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "screen_server: %s\n", vireo::describe(error).c_str());
    return 1;
  }
}
