#include "vmm/parts.h"

#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/service.h"

namespace vireo {
namespace {

using Calls = std::vector<std::string>;

// Tells what is done to it, and whether its loop's thread does it.
class Part final : public Service {
 public:
  Part(std::string name, EventLoop& home, Calls& calls)
      : name_(std::move(name)), home_(home), calls_(calls) {}

  void start() override { tell("start"); }
  Task<void> stop() override {
    tell("stop");
    co_return;
  }
  Task<void> close() override {
    tell("close");
    co_return;
  }

 private:
  void tell(const std::string& what) {
    calls_.push_back(what + " " + name_ + (home_.runs_on_this_thread() ? "" : " from outside"));
  }

  const std::string name_;
  EventLoop& home_;
  Calls& calls_;
};

struct Fixture {
  IoThreads io;
  EventLoop& first = io.first();
  EventLoop& second = io.add();
  Parts<Service> parts{io};
  Calls calls;

  Fixture() {
    add("a", second);
    add("b", first);
    add("c", first);
  }
  void add(const std::string& name, EventLoop& home) {
    parts.add(std::make_unique<Part>(name, home, calls), home);
  }
  Calls take() { return std::exchange(calls, {}); }
};

TEST_CASE("parts are started, stopped and closed on their loops, in the order of loops and parts") {
  Fixture machine;
  machine.parts.start();
  CHECK(machine.take() ==
        Calls{"start b from outside", "start c from outside", "start a from outside"});
  machine.io.start([](const std::string&) {});
  machine.parts.stop();
  CHECK(machine.take() == Calls{"stop b", "stop c", "stop a"});
  machine.parts.start();
  CHECK(machine.take() == Calls{"start b", "start c", "start a"});
  machine.io.end();
  machine.io.end();
  machine.parts.close();
  const std::string outside = " from outside";
  CHECK(machine.take() == Calls{"stop b" + outside, "stop c" + outside, "close b" + outside,
                                "close c" + outside, "stop a" + outside, "close a" + outside});
}

TEST_CASE("what a loop's callback throws is told, and what a visit throws comes back") {
  Fixture machine;
  std::string told;
  machine.io.start([&](const std::string& what) { told = what; });
  machine.first.post([] { throw std::runtime_error("a mistake"); });
  CHECK_THROWS_WITH(
      machine.parts.for_each([](const Service&) { throw std::runtime_error("another"); }),
      "another");
  machine.io.end();
  CHECK_THAT(told, Catch::Contains("a mistake"));
}

}  // namespace
}  // namespace vireo
