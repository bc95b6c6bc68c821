#include "devices/chardev/stdio.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <functional>

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

// A terminal whose other end is `write`; raw, as its owner makes it.
struct Typing {
  UniqueFd write{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  UniqueFd read;
  Typing() {
    REQUIRE(::grantpt(write.get()) == 0);
    REQUIRE(::unlockpt(write.get()) == 0);
    read.reset(::open(::ptsname(write.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios mode{};
    REQUIRE(::tcgetattr(read.get(), &mode) == 0);
    ::cfmakeraw(&mode);
    REQUIRE(::tcsetattr(read.get(), TCSANOW, &mode) == 0);
  }
};

template <class Input>
struct Fixture {
  Input in;
  Pipe out;
  vireo::testing::ManualLoop turns;
  RecordingFrontend device;
  std::vector<EscapeCommand> commands;
  StdioBackend stdio;

  Fixture()
      : stdio(in.read.get(), out.write.get(),
              [this](EscapeCommand command) { commands.push_back(command); }, {}) {
    stdio.open(turns.loop(), device);
  }
  ~Fixture() { stdio.close(); }
  void type(std::string_view text) {
    REQUIRE_FALSE(write_all(in.write.get(), bytes_of_text(text)));
    turns.settle();
  }
  // The kernel passes what is typed on from a thread of its own, so that waiting for it takes real
  // time: bounded, and over when it is there.
  void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) turns.loop().step(std::chrono::milliseconds(20));
    REQUIRE(condition());
  }
};

using Commands = std::vector<EscapeCommand>;

}  // namespace

TEST_CASE("a terminal is not read from the background, and again in the foreground") {
  // In a process of its own: the terminal becomes the controlling one.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const Typing typing;
    const Pipe out;
    ::signal(SIGTTOU, SIG_IGN);
    ::setsid();
    ::ioctl(typing.read.get(), TIOCSCTTY, 0);
    const pid_t other = ::fork();
    if (other == 0) {
      ::pause();
      ::_exit(0);
    }
    ::setpgid(other, other);
    ::tcsetpgrp(typing.read.get(), other);
    vireo::testing::ManualLoop turns;
    RecordingFrontend device;
    StdioBackend stdio(typing.read.get(), out.write.get(), [](EscapeCommand) {}, {});
    stdio.open(turns.loop(), device);
    stdio.set_readable(true);
    static_cast<void>(write_all(typing.write.get(), bytes_of_text("for the other")));
    turns.advance(std::chrono::seconds(1));
    if (!device.received.empty()) ::_exit(1);
    ::tcsetpgrp(typing.read.get(), ::getpgrp());
    turns.advance(std::chrono::seconds(1));
    for (int i = 0; i < 500 && device.received.empty(); ++i)
      turns.loop().step(std::chrono::milliseconds(20));
    const bool read = device.received == "for the other";
    stdio.close();
    ::kill(other, SIGKILL);
    ::_exit(read ? 0 : 2);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, WUNTRACED) == child);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
}

TEST_CASE("standard input reaches the guest when it wants it, and stays in place otherwise") {
  Fixture<Pipe> f;
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
  Fixture<Pipe> f;
  f.stdio.set_readable(true);
  f.in.write.reset();
  f.turns.settle();
  REQUIRE(write(f.stdio, "still here") == 10);
  std::array<char, 16> got{};
  REQUIRE(::read(f.out.read.get(), got.data(), got.size()) == 10);
}

TEST_CASE("the escape prefix works while the guest takes no input, and keeps what is typed") {
  Fixture<Typing> f;
  f.type("ab\x01xc\x01pd");
  f.until([&] { return f.commands.size() == 2; });
  REQUIRE(f.commands == Commands{EscapeCommand::quit, EscapeCommand::power_button});
  f.type("\x01h");
  f.until([&] { return f.commands.size() == 3; });
  REQUIRE(f.device.received.empty());
  f.stdio.set_readable(true);
  REQUIRE(f.device.received.empty());  // not from inside the call
  f.turns.settle();
  REQUIRE(f.device.received == "abcd");
  f.type(
      "e\x01"
      "bf");
  f.until([&] { return f.device.received == "abcdef"; });
  REQUIRE(f.device.breaks == 1);
  REQUIRE(f.commands.size() == 3);
}

TEST_CASE("what is typed at a guest that takes nothing is bounded") {
  Fixture<Typing> f;
  for (int i = 0; i < 10; ++i) f.type(std::string(1000, 'x'));
  f.type("\x01h");
  f.until([&] { return !f.commands.empty(); });
  REQUIRE(f.commands == Commands{EscapeCommand::help});
  f.stdio.set_readable(true);
  f.turns.settle();
  REQUIRE(f.device.received.size() == StdioBackend::kTypedAhead);
}

TEST_CASE("a slow standard output holds the guest back") {
  Fixture<Pipe> f;
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
  Fixture<Typing> f;
  f.stdio.set_readable(true);
  f.stdio.close();
  f.type("while paused\x01x");
  REQUIRE(f.device.received.empty());
  REQUIRE(f.commands.empty());
  f.stdio.open(f.turns.loop(), f.device);
  f.stdio.set_readable(true);
  f.until([&] { return f.device.received == "while paused" && !f.commands.empty(); });
  REQUIRE(f.commands == Commands{EscapeCommand::quit});
}
