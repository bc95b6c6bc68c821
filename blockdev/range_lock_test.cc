#include "blockdev/range_lock.h"

#include <string>

#include <catch2/catch.hpp>

#include "vmm/base/task.h"

using namespace vireo;
using namespace vireo::blk;

namespace {

struct Range {
  uint64_t begin, end;
  RangeLock::Mode mode;
};

constexpr auto kShared = RangeLock::Mode::shared;
constexpr auto kExclusive = RangeLock::Mode::exclusive;

// Holders that note their coming and leave when they are told to.
class Party {
 public:
  // Returns whether it got in at once.
  bool enter(char name, Range range) {
    scope_.spawn(hold(name, range));
    return inside(name);
  }
  bool inside(char name) const { return inside_.find(name) != std::string::npos; }
  void leave(char name) {
    inside_.erase(inside_.find(name), 1);
    const auto handle = std::exchange(waiting_[static_cast<size_t>(name - 'a')], nullptr);
    handle.resume();
  }

 private:
  Task<void> hold(char name, Range range) {
    RangeLock::Hold hold{lock_, range.begin, range.end, range.mode};
    co_await hold.acquire();
    inside_ += name;
    struct Stay {
      std::coroutine_handle<>& slot;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const noexcept { slot = handle; }
      void await_resume() const noexcept {}
    };
    const Stay stay{waiting_[static_cast<size_t>(name - 'a')]};
    co_await stay;
  }

  RangeLock lock_;
  Scope scope_;
  std::string inside_;
  std::coroutine_handle<> waiting_[26] = {};
};

}  // namespace

TEST_CASE("shared holders of a range do not wait for each other") {
  Party party;
  REQUIRE(party.enter('a', {0, 100, kShared}));
  REQUIRE(party.enter('b', {50, 150, kShared}));
  party.leave('a');
  party.leave('b');
}

TEST_CASE("an exclusive holder is alone in its range, and only there") {
  Party party;
  REQUIRE(party.enter('a', {100, 200, kExclusive}));
  REQUIRE(party.enter('b', {0, 100, kExclusive}));
  REQUIRE(party.enter('c', {200, 300, kShared}));
  REQUIRE_FALSE(party.enter('d', {199, 201, kShared}));
  REQUIRE_FALSE(party.enter('e', {99, 101, kExclusive}));
  party.leave('a');
  REQUIRE(party.inside('d'));
  REQUIRE_FALSE(party.inside('e'));
  party.leave('b');
  REQUIRE(party.inside('e'));
  for (const char name : {'c', 'd', 'e'}) party.leave(name);
}

TEST_CASE("nobody overtakes a waiter whose range meets his") {
  Party party;
  REQUIRE(party.enter('a', {0, 10, kShared}));
  REQUIRE_FALSE(party.enter('b', {0, 10, kExclusive}));
  REQUIRE_FALSE(party.enter('c', {5, 6, kShared}));  // would starve b
  REQUIRE(party.enter('d', {10, 20, kShared}));
  party.leave('a');
  REQUIRE(party.inside('b'));
  REQUIRE_FALSE(party.inside('c'));
  party.leave('b');
  REQUIRE(party.inside('c'));
  party.leave('c');
  party.leave('d');
}

TEST_CASE("a release lets all go that no longer have to wait") {
  Party party;
  REQUIRE(party.enter('a', {0, 100, kExclusive}));
  for (const char name : {'b', 'c', 'd'}) REQUIRE_FALSE(party.enter(name, {0, 100, kShared}));
  party.leave('a');
  for (const char name : {'b', 'c', 'd'}) {
    REQUIRE(party.inside(name));
    party.leave(name);
  }
}
