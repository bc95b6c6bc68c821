#include "devices/display/rfb/login_throttle.h"

#include <memory>

#include <catch2/catch.hpp>

namespace vireo::display {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Rig {
  struct Try {
    Try(LoginThrottle& throttle, const std::string& origin) : answer(throttle, origin, turn) {}
    Event turn;
    LoginThrottle::Answer answer;
  };
  std::unique_ptr<Try> wait(const std::string& origin) {
    return std::make_unique<Try>(throttle, origin);
  }
  void pass(std::chrono::nanoseconds time) {
    now += time;
    while (loop.step()) {
    }
  }
  // Until a wrong answer from there is judged; how long that takes.
  milliseconds guess(const std::string& origin) {
    const auto one = wait(origin);
    milliseconds waited{0};
    for (pass(milliseconds(0)); !one->turn.is_set(); waited += milliseconds(25))
      pass(milliseconds(25));
    one->answer.was_wrong();
    return waited;
  }
  void prove(const std::string& origin) {
    const auto one = wait(origin);
    for (int i = 0; i < 200 && !one->turn.is_set(); ++i) pass(milliseconds(25));
    REQUIRE(one->turn.is_set());
    one->answer.was_right();
  }

  EventLoop::Clock::time_point now{std::chrono::hours(1)};
  EventLoop loop{[this] { return now; }};
  LoginThrottle throttle{loop};
};

}  // namespace

TEST_CASE("whoever is wrong waits longer each time, up to some seconds", "[display]") {
  Rig rig;
  REQUIRE(rig.guess("a") == seconds(0));
  REQUIRE(rig.guess("a") == seconds(1));
  REQUIRE(rig.guess("a") == seconds(2));
  REQUIRE(rig.guess("a") == seconds(4));
  REQUIRE(rig.guess("a") == seconds(4));
  rig.prove("a");
  REQUIRE(rig.guess("a") == seconds(0));
  REQUIRE(rig.guess("a") == seconds(1));
}

TEST_CASE("right ones do not wait for each other", "[display]") {
  Rig rig;
  for (int i = 0; i < 100; ++i) {
    const auto one = rig.wait("a");
    rig.pass(seconds(0));
    REQUIRE(one->turn.is_set());
    one->answer.was_right();
  }
}

TEST_CASE("guesses from many addresses are one a second together", "[display]") {
  Rig rig;
  milliseconds waited{0};
  for (int i = 0; i < 1000; ++i) waited += rig.guess("address " + std::to_string(i));
  REQUIRE(waited >= seconds(990));
  REQUIRE(waited <= seconds(1000));
}

TEST_CASE("guesses from elsewhere cost the owner a second at most", "[display]") {
  Rig rig;
  for (int i = 0; i < 10; ++i) rig.guess("guesser");
  std::vector<std::unique_ptr<Rig::Try>> guesses;
  for (int i = 0; i < 50; ++i) guesses.push_back(rig.wait("guesser"));
  const auto owner = rig.wait("owner");
  for (int i = 0; i < 50; ++i) guesses.push_back(rig.wait("guesser"));
  rig.pass(seconds(1));
  REQUIRE(owner->turn.is_set());
  owner->answer.was_right();
  guesses.clear();
  // From now on it costs nothing.
  rig.pass(seconds(10));
  rig.guess("guesser");
  const auto again = rig.wait("owner");
  rig.pass(seconds(0));
  REQUIRE(again->turn.is_set());
}

TEST_CASE("of one address the newest answer is judged first", "[display]") {
  Rig rig;
  rig.guess("a");
  const auto older = rig.wait("a"), newer = rig.wait("a");
  rig.pass(milliseconds(999));
  REQUIRE_FALSE(newer->turn.is_set());
  rig.pass(milliseconds(1));
  REQUIRE(newer->turn.is_set());
  REQUIRE_FALSE(older->turn.is_set());
  newer->answer.was_wrong();
  rig.pass(milliseconds(1999));
  REQUIRE_FALSE(older->turn.is_set());
  rig.pass(milliseconds(1));
  REQUIRE(older->turn.is_set());
}

TEST_CASE("an answer that is withdrawn makes room for the next", "[display]") {
  Rig rig;
  rig.guess("a");
  auto first = rig.wait("a");
  const auto second = rig.wait("b");
  first.reset();
  rig.pass(seconds(1));
  REQUIRE(second->turn.is_set());
}

TEST_CASE("failures are forgotten after a while", "[display]") {
  Rig rig;
  for (int i = 0; i < 5; ++i) rig.guess("a");
  rig.pass(std::chrono::minutes(11));
  REQUIRE(rig.guess("a") == seconds(0));
  REQUIRE(rig.guess("a") == seconds(1));
}

TEST_CASE("many addresses do not make an address with the password a stranger", "[display]") {
  Rig rig;
  rig.prove("owner");
  for (size_t i = 0; i < 2 * LoginThrottle::kMostOrigins; ++i)
    rig.guess("address " + std::to_string(i));
  const auto owner = rig.wait("owner");
  rig.pass(seconds(0));
  REQUIRE(owner->turn.is_set());
}

}  // namespace vireo::display
