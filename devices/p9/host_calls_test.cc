#include "devices/p9/host_calls.h"

#include <catch2/catch.hpp>

#include "devices/p9/testing/client.h"
#include "devices/p9/testing/hand_pool.h"
#include "vmm/testing/manual_loop.h"

namespace vireo::p9 {
namespace {

// One call after the other, of a server that has as many requests under way as the test says.
struct Fixture {
  explicit Fixture(bool own_loop)
      : calls(manual.loop(), fs, own_loop, std::unique_ptr<WorkerPool>(pool)) {
    calls.arrived(true);
    calls.began();
  }
  ~Fixture() { manual.run(end()); }
  Task<void> end() { co_await requests.join(); }

  Task<void> make_short() {
    auto call = [this] { return count(); };
    last = co_await calls.short_call(call, &given_up);
  }
  Task<void> make_long() {
    auto call = [this] { return count(); };
    last = co_await calls.long_call(call, &given_up);
  }
  Result<int> count() { return ++made; }
  void short_call() { requests.spawn(make_short()); }
  void long_call() { requests.spawn(make_long()); }
  // What the pool holds.
  void finish() {
    while (pool->held() > 0) pool->run(0);
    manual.settle();
  }

  const ShareDirectory share;
  testing::ManualLoop manual;
  const LocalFs fs{{.directory = share.path()}};
  HandPool* const pool = new HandPool;
  HostCalls calls;
  std::atomic<bool> given_up = false;
  int made = 0;
  Result<int> last = Failure{EAGAIN};
  Scope requests;
};

}  // namespace

TEST_CASE("the loop of a share makes the short calls of a request that is alone") {
  Fixture f(true);
  f.short_call();
  CHECK(*f.last == 1);
  CHECK_FALSE(f.calls.asks_cache());
}

TEST_CASE(
    "the pool makes the calls of a loop with other work, of several requests, and long ones") {
  const int what = GENERATE(0, 1, 2, 3);
  Fixture f(what != 0);
  if (what == 1) f.calls.began();
  if (what == 2) f.calls.arrived(false);
  CHECK(f.calls.asks_cache() == (what != 3));
  CHECK(f.calls.asks_cache_for_data() == (what == 0 || what == 2));
  if (what == 3)
    f.long_call();
  else
    f.short_call();
  CHECK(f.made == 0);
  CHECK(f.pool->held() == 1);
  f.finish();
  CHECK(*f.last == 1);
}

TEST_CASE("a loop has its short calls back when the other requests have ended") {
  Fixture f(true);
  f.calls.began();
  f.calls.ended();
  f.short_call();
  CHECK(*f.last == 1);
}

TEST_CASE("a call that is given up before it is made is not made") {
  Fixture f(false);
  f.short_call();
  f.given_up = true;
  f.finish();
  CHECK(f.made == 0);
  CHECK(f.last.error() == EINTR);
}

}  // namespace vireo::p9
