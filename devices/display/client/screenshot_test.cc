#include "devices/display/client/screenshot.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "devices/display/rfb_server.h"
#include "devices/display/testing/painted_screen.h"
#include "devices/display/testing/recorded_input.h"
#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

namespace vireo::display {
namespace {

using Catch::Contains;
using vireo::testing::TempDir;

struct Rig {
  explicit Rig(std::string password = {}) {
    screen.console();
    screen.gradient({.x = 30, .y = 30, .width = 100, .height = 60});
    RfbConfig config{.vnc = "unix:" + dir.file("vnc"), .password = std::move(password)};
    server.emplace(loop, screen, input, std::move(config));
  }
  ~Rig() { block_on(loop, server->stop()); }
  // Turn by turn: nothing waits, and the clock goes on by hand.
  Screenshot take(const std::string& password = {}) {
    std::promise<Screenshot> promise;
    auto result = promise.get_future();
    vireo::detail::fulfil(
        take_screenshot(loop, connect_to_screen("unix:" + dir.file("vnc")), password),
        std::move(promise));
    while (result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      loop.step();
      passed += std::chrono::milliseconds(1);
    }
    return result.get();
  }

  TempDir dir;
  std::chrono::nanoseconds passed{0};
  EventLoop loop{[this] { return EventLoop::Clock::time_point() + passed; }};
  PaintedScreen screen{{.width = 333, .height = 222}};
  RecordedInput input;
  std::optional<RfbServer> server;
};

// What a screenshot says of a server that says this and no more.
std::string error_of(std::string_view says) {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  UniqueFd server(ends[0]), client(ends[1]);
  REQUIRE_FALSE(write_all(server.get(), bytes_of_text(says)));
  ::shutdown(server.get(), SHUT_WR);
  EventLoop loop;
  try {
    block_on(loop, take_screenshot(loop, std::move(client), ""));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

std::string init(std::string_view size, std::string_view rest) {
  return "RFB 003.003\n" + std::string("\0\0\0\1", 4) + std::string(size) + std::string(16, '\0') +
         std::string(4, '\0') + std::string(rest);
}

}  // namespace

TEST_CASE("a screenshot is what is on the screen", "[display]") {
  Rig rig;
  const Screenshot shot = rig.take();
  REQUIRE(shot.size == rig.screen.size());
  size_t different = 0;
  for (size_t y = 0; y < 222; ++y)
    for (size_t x = 0; x < 333; ++x)
      different += shot.pixels[y * 333 + x] != rig.screen.pixel(x, y);
  REQUIRE(different == 0);
}

TEST_CASE("a screenshot needs the password", "[display]") {
  Rig rig("sesame");
  REQUIRE(rig.take("sesame").size == rig.screen.size());
  REQUIRE_THROWS_WITH(rig.take("wrong"), Contains("password"));
  REQUIRE_THROWS_WITH(rig.take(), Contains("asks for a password"));
}

TEST_CASE("servers that are none are told of", "[display]") {
  REQUIRE_THAT(error_of("HTTP/1.1 400 Bad"), Contains("no VNC server"));
  REQUIRE_THAT(error_of("RFB 003"), Contains("closed the connection"));
  REQUIRE_THAT(error_of(std::string("RFB 003.008\n\1\x13", 14)), Contains("asks for TLS"));
  REQUIRE_THAT(error_of(std::string("RFB 003.008\n\0\0\0\0\4busy", 21)), Contains("busy"));
  const std::string_view small("\0\1\0\1", 4);
  REQUIRE_THAT(error_of(init({"\0\0\0\1", 4}, "")), Contains("no screen"));
  REQUIRE_THAT(error_of(init({"\xff\xff\0\1", 4}, "")), Contains("no screen"));
  REQUIRE_THAT(error_of(init(small, "\xee")), Contains("understood"));
  REQUIRE_THAT(error_of(init(small, std::string_view("\3\0\0\0\xff\xff\xff\xff", 8))),
               Contains("too much"));
  // A rectangle beyond the screen, and one in Tight.
  REQUIRE_THAT(error_of(init(small, std::string_view("\0\0\0\1\0\1\0\0\0\1\0\1\0\0\0\0", 16))),
               Contains("not asked for"));
  REQUIRE_THAT(error_of(init(small, std::string_view("\0\0\0\1\0\0\0\0\0\1\0\1\0\0\0\7", 16))),
               Contains("not asked for"));
  REQUIRE(error_of(init(small, std::string_view("\2\0\0\0\1\0\0\0\0\0\1\0\1\0\0\0\0abcd", 21)))
              .empty());
  REQUIRE_THROWS(connect_to_screen("unix:/nowhere/vnc"));
  REQUIRE_THROWS_AS(connect_to_screen("nonsense"), ConfigError);
}

}  // namespace vireo::display
