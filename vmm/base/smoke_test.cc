#include <catch2/catch.hpp>

#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"
#include "vmm/base/state.h"
#include "vmm/base/worker_pool.h"
using namespace vireo;
namespace {
struct S {
  static constexpr StateTag kTag{"s", 1};
  uint8_t a = 1;
  std::vector<uint16_t> v{1, 2};
  std::optional<bool> o;
  static void fields(auto& s, auto& ar) { ar("a", s.a)("v", s.v)("o", s.o); }
  bool operator==(const S&) const = default;
};
Task<int> three(WorkerPool& p, EventLoop& l) {
  auto f = [] { return 3; };
  co_return co_await offload(p, l, f);
}
Task<int> outer(WorkerPool& p, EventLoop& l, AsyncMutex& m) {
  int s = 0;
  for (int i = 0; i < 10; i++) {
    const AsyncMutex::Guard g = co_await m.lock();
    s += co_await three(p, l);
  }
  co_return s;
}
}  // namespace
TEST_CASE("base hangs together") {
  WorkerPool p;
  EventLoop l;
  AsyncMutex m;
  REQUIRE(block_on(l, outer(p, l, m)) == 30);
  StateWriter w;
  S s;
  s.a = 9;
  s.o = true;
  w.put("x", s);
  StateReader r(w.take());
  REQUIRE(r.take<S>("x") == s);
  r.check_all_taken();
  LoopThread t("io");
  REQUIRE(call(t.loop(), [] { return 4; }) == 4);
}
