#include "devices/chardev/pty.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <utility>

#include <catch2/catch.hpp>

#include "devices/testing/recording_frontend.h"
#include "vmm/base/bytes.h"
#include "vmm/testing/manual_loop.h"

using namespace vireo;
using namespace vireo::dev;
using namespace vireo::dev::testing;

namespace {

struct Fixture {
  vireo::testing::ManualLoop turns;
  RecordingFrontend device;
  PtyBackend pty;

  Fixture() {
    pty.open(turns.loop(), device);
    pty.set_readable(true);
  }
  ~Fixture() { pty.close(); }

  // The kernel passes terminal data on from a thread of its own, so that waiting for it takes real
  // time: bounded, and over when it is there.
  void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) turns.loop().step(std::chrono::milliseconds(20));
    REQUIRE(condition());
  }
  UniqueFd user() {
    UniqueFd fd{::open(pty.path().c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)};
    REQUIRE(fd);
    turns.advance(std::chrono::seconds(1));
    return fd;
  }
  std::string read(const UniqueFd& user, size_t size) {
    std::string text;
    until([&] {
      std::array<char, 4096> buffer;
      const ssize_t n = ::read(user.get(), buffer.data(), buffer.size());
      if (n > 0) text.append(buffer.data(), static_cast<size_t>(n));
      return text.size() >= size;
    });
    return text;
  }
};

}  // namespace

TEST_CASE("a pseudo-terminal is raw and carries both directions") {
  Fixture f;
  const UniqueFd user = f.user();
  termios mode{};
  REQUIRE(::tcgetattr(user.get(), &mode) == 0);
  REQUIRE((mode.c_lflag & (ECHO | ICANON | ISIG)) == 0);
  REQUIRE_FALSE(write_all(user.get(), bytes_of_text("in\r\x03")));
  f.until([&] { return f.device.received == "in\r\x03"; });
  REQUIRE(write(f.pty, "out\n") == 4);
  REQUIRE(f.read(user, 4) == "out\n");
}

TEST_CASE("before anybody opens it, output is kept and nothing spins") {
  Fixture f;
  REQUIRE(write(f.pty, "early") == 5);
  f.turns.settle();
  REQUIRE_FALSE(f.turns.loop().step());
  REQUIRE(f.read(f.user(), 5) == "early");
}

TEST_CASE("who closes it may come back") {
  Fixture f;
  for (const std::string text : {"one", "two", "three"}) {
    const UniqueFd user = f.user();
    REQUIRE_FALSE(write_all(user.get(), bytes_of_text(text)));
    f.until([&] { return f.device.received.ends_with(text); });
    REQUIRE(write(f.pty, text) == text.size());
    REQUIRE(f.read(user, text.size()) == text);
  }
  f.turns.settle();
  write(f.pty, "kept");
  REQUIRE(f.read(f.user(), 4) == "kept");
}

// The kernel may pass on part of what the user has not read at any time, and tell that there is
// room: a chunk larger than all it can hold fits only when the user is gone.
TEST_CASE("a user who leaves without reading sets the guest free") {
  Fixture f;
  UniqueFd user = f.user();
  const std::string chunk(size_t{1} << 20, 'x');
  REQUIRE(write(f.pty, chunk) < chunk.size());
  user.reset();
  int calls = 0;
  bool free = false;
  f.until([&] {
    const bool told = f.device.writable_calls > std::exchange(calls, f.device.writable_calls);
    if (told) free = write(f.pty, chunk) == chunk.size();
    return free;
  });
  f.turns.settle();
}

TEST_CASE("closed and opened again, it goes on") {
  Fixture f;
  const UniqueFd user = f.user();
  f.pty.close();
  REQUIRE_FALSE(write_all(user.get(), bytes_of_text("while paused")));
  f.pty.open(f.turns.loop(), f.device);
  f.pty.set_readable(true);
  f.until([&] { return f.device.received == "while paused"; });
}
