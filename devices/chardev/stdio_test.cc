#include "devices/chardev/stdio.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include <catch2/catch.hpp>

#include "devices/testing/recording_frontend.h"
#include "vmm/base/bytes.h"
#include "vmm/testing/manual_loop.h"

using namespace vireo;
using namespace vireo::dev;
using namespace vireo::dev::testing;

namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
  Pipe() {
    std::array<int, 2> fds{};
    REQUIRE(::pipe2(fds.data(), O_CLOEXEC) == 0);
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
};

struct Fixture {
  Pipe in;
  Pipe out;
  vireo::testing::ManualLoop turns;
  RecordingFrontend device;
  std::vector<EscapeCommand> commands;
  StdioBackend stdio;

  explicit Fixture(bool escapes)
      : stdio(in.read.get(), out.write.get(),
              escapes ? [this](EscapeCommand command) { commands.push_back(command); }
                      : StdioBackend::EscapeHandler(),
              {}) {
    stdio.open(turns.loop(), device);
  }
  ~Fixture() { stdio.close(); }
  void type(std::string_view text) {
    REQUIRE_FALSE(write_all(in.write.get(), bytes_of_text(text)));
    turns.settle();
  }
};

using Commands = std::vector<EscapeCommand>;

}  // namespace

TEST_CASE("standard input reaches the guest when it wants it, and stays in place otherwise") {
  Fixture f(false);
  f.type("early\x01x");
  REQUIRE(f.device.received.empty());
  f.stdio.set_readable(true);
  f.turns.settle();
  REQUIRE(f.device.received == "early\x01x");
  f.stdio.set_readable(false);
  const std::string much(60'000, 'x');
  f.type(much);
  REQUIRE(f.device.received.size() == 7);
  f.device.on_receive = [&] { f.stdio.set_readable(false); };
  f.stdio.set_readable(true);
  f.turns.settle();
  REQUIRE(f.device.received.size() == 7 + CharFrontend::kMaxReceive);  // one chunk per readiness
  f.device.on_receive = [] {};
  f.stdio.set_readable(true);
  f.turns.settle();
  REQUIRE(f.device.received.size() == 7 + much.size());
}

TEST_CASE("the end of standard input is only that") {
  Fixture f(false);
  f.stdio.set_readable(true);
  f.in.write.reset();
  f.turns.settle();
  REQUIRE(write(f.stdio, "still here") == 10);
  std::array<char, 16> got{};
  REQUIRE(::read(f.out.read.get(), got.data(), got.size()) == 10);
}

TEST_CASE("the escape prefix works while the guest takes no input, and keeps what is typed") {
  Fixture f(true);
  f.type("ab\x01xc\x01pd");
  REQUIRE(f.commands == Commands{EscapeCommand::quit, EscapeCommand::power_button});
  REQUIRE(f.device.received.empty());
  f.stdio.set_readable(true);
  REQUIRE(f.device.received.empty());  // not from inside the call
  f.turns.settle();
  REQUIRE(f.device.received == "abcd");
  f.type(
      "e\x01"
      "bf");
  REQUIRE(f.device.received == "abcdef");
  REQUIRE(f.device.breaks == 1);
  REQUIRE(f.commands.size() == 2);
}

TEST_CASE("what is typed at a guest that takes nothing is bounded") {
  Fixture f(true);
  for (int i = 0; i < 10; ++i) f.type(std::string(1000, 'x'));
  f.type("\x01h");
  REQUIRE(f.commands == Commands{EscapeCommand::help});
  f.stdio.set_readable(true);
  f.turns.settle();
  REQUIRE(f.device.received.size() == StdioBackend::kTypedAhead);
}

TEST_CASE("a slow standard output holds the guest back") {
  Fixture f(false);
  const size_t taken = fill(f.stdio);
  REQUIRE(taken > 0);
  f.turns.settle();
  REQUIRE(f.device.writable_calls == 0);
  std::vector<std::byte> got(taken);
  REQUIRE_FALSE(read_all(f.out.read.get(), got));
  f.turns.settle();
  REQUIRE(f.device.writable_calls == 1);
}

TEST_CASE("closed, it neither reads nor delivers") {
  Fixture f(true);
  f.stdio.set_readable(true);
  f.stdio.close();
  f.type("while paused\x01x");
  REQUIRE(f.device.received.empty());
  REQUIRE(f.commands.empty());
  f.stdio.open(f.turns.loop(), f.device);
  f.stdio.set_readable(true);
  f.turns.settle();
  REQUIRE(f.device.received == "while paused");
  REQUIRE(f.commands == Commands{EscapeCommand::quit});
}
