#include "vireo/console.h"

#include <thread>

#include <catch2/catch.hpp>

#include "devices/testing/recording_frontend.h"
#include "vireo/console_backend.h"
#include "vmm/base/error.h"
#include "vmm/testing/manual_loop.h"

using namespace vireo;
using namespace vireo::dev;
using namespace vireo::dev::testing;
using namespace std::chrono_literals;
using Reason = ExpectError::Reason;

namespace {

constexpr Console::Timeout kNow{0};
constexpr Console::Timeout kLong = 60s;

struct Fixture {
  Console console;
  std::unique_ptr<CharBackend> backend = backend_of(console);
  vireo::testing::ManualLoop turns;
  RecordingFrontend device;

  Fixture() {
    backend->open(turns.loop(), device);
    backend->set_readable(true);
  }
  void say(std::string_view text) { REQUIRE(write(*backend, text) == text.size()); }
  Reason fails(const std::string& text) {
    try {
      console.expect(text, kNow);
    } catch (const ExpectError& error) {
      return error.reason();
    }
    FAIL("'" << text << "' was found");
    return Reason::ended;
  }
};

}  // namespace

TEST_CASE("what the guest says is found and consumed") {
  Fixture f;
  f.say("boot\nlogin: ");
  REQUIRE(f.console.expect("boot", kNow) == "boot");
  REQUIRE(f.console.expect("login: ", kNow) == "\nlogin: ");
  REQUIRE(f.fails("login: ") == Reason::timeout);
  f.say("login: ");
  REQUIRE(f.console.expect("login: ", kNow) == "login: ");
  REQUIRE(f.console.transcript() == "boot\nlogin: login: ");
}

TEST_CASE("regular expressions match within a line") {
  Fixture f;
  f.say("count 17\nroot@host:~# ");
  REQUIRE(f.console.expect_match("count [0-9]+", kNow) == "count 17");
  REQUIRE(f.console.expect_match("^root.*# $", kNow) == "\nroot@host:~# ");
  f.say("a\nb");
  REQUIRE_THROWS_AS(f.console.expect_match("a.b", kNow), ExpectError);
  REQUIRE_THROWS_AS(f.console.expect_match("(", kNow), ConfigError);
}

TEST_CASE("a match may arrive in pieces while it is waited for") {
  Fixture f;
  std::thread guest([&] {
    for (const char c : std::string("x\nabc-abd\ntail")) write(*f.backend, std::string(1, c));
  });
  REQUIRE(f.console.expect("abd", kLong) == "x\nabc-abd");
  REQUIRE(f.console.expect_match("^t..l", kLong) == "\ntail");
  guest.join();
}

TEST_CASE("waiting ends with the machine, and tells what was said") {
  Fixture f;
  f.say("Kernel panic");
  SECTION("when told so") {
    std::thread owner([&] { f.console.end(); });
    REQUIRE_THROWS_WITH(f.console.expect("login", kLong), Catch::Contains("Kernel panic"));
    owner.join();
  }
  SECTION("when the device goes") {
    f.backend.reset();
  }
  REQUIRE(f.fails("login") == Reason::ended);
  REQUIRE(f.console.expect("panic", kNow) == "Kernel panic");  // what was said can still be found
  if (f.backend) f.backend->close();
}

TEST_CASE("the deadline's error has the whole transcript") {
  Fixture f;
  f.say(std::string(5000, 'x') + "end");
  try {
    f.console.expect("login", kNow);
    FAIL("found");
  } catch (const ExpectError& error) {
    REQUIRE(error.reason() == Reason::timeout);
    REQUIRE(error.transcript().size() == 5003);
    REQUIRE(std::string(error.what()).size() < 3000);
  }
}

TEST_CASE("a transcript is bounded and goes on being searched") {
  Fixture f;
  f.say("first");
  const std::string line(99, 'x');
  for (size_t said = 0; said < 3 * Console::kCapacity; said += 100) f.say(line + "\n");
  REQUIRE(f.console.transcript().size() <= Console::kCapacity);
  REQUIRE(f.fails("first") == Reason::timeout);
  f.say("last");
  REQUIRE(f.console.expect("last", kNow).ends_with("x\nlast"));
}

TEST_CASE("a search that waits finds what comes after the front was cut off") {
  Fixture f;
  std::thread guest([&] {
    const std::string line(99, 'x');
    for (size_t said = 0; said < 3 * Console::kCapacity; said += 100)
      write(*f.backend, line + "\n");
    write(*f.backend, "needle");
  });
  REQUIRE(f.console.expect("needle", kLong).ends_with("needle"));
  guest.join();
}

TEST_CASE("input goes to the guest when it takes it") {
  Fixture f;
  f.backend->set_readable(false);
  f.console.write(std::string(5000, 'a'));
  f.turns.settle();
  REQUIRE(f.device.received.empty());
  f.device.on_receive = [&] { f.backend->set_readable(false); };
  f.backend->set_readable(true);
  f.turns.settle();
  REQUIRE(f.device.received.size() == CharFrontend::kMaxReceive);
  f.device.on_receive = [] {};
  f.backend->set_readable(true);
  f.console.write("b");
  f.turns.settle();
  REQUIRE(f.device.received == std::string(5000, 'a') + "b");
}

TEST_CASE("input may be written before the machine starts, while it pauses, and has a bound") {
  Console console;
  console.write("early ");
  const auto backend = backend_of(console);
  vireo::testing::ManualLoop turns;
  RecordingFrontend device;
  backend->open(turns.loop(), device);
  backend->set_readable(true);
  turns.settle();
  console.write("posted ");
  backend->close();
  turns.settle();
  console.write("paused");
  backend->open(turns.loop(), device);
  backend->set_readable(true);
  turns.settle();
  REQUIRE(device.received == "early posted paused");
  backend->close();
  console.write(std::string(Console::kCapacity, 'x'));
  REQUIRE_THROWS_AS(console.write("y"), ConfigError);
}
