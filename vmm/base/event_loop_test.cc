#include "vmm/base/event_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/testing/death.h"
#include "vmm/testing/manual_loop.h"
#include "vmm/testing/refused_calls.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace std::chrono_literals;
using testing::ManualLoop;
using Registration = EventLoop::Registration;

namespace {

using Order = std::vector<int>;

// An eventfd that is readable from the start.
UniqueFd ready_fd() {
  UniqueFd fd = make_eventfd();
  signal_eventfd(fd.get());
  return fd;
}

}  // namespace

// ---- timers -----------------------------------------------------------------------------------

TEST_CASE("timers fire when the clock has passed them, in the order they are due") {
  ManualLoop manual;
  Order order;
  const auto b = manual.loop().after(20ms, [&] { order.push_back(2); });
  const auto a = manual.loop().after(10ms, [&] { order.push_back(1); });
  const auto c = manual.loop().after(30ms, [&] { order.push_back(3); });
  manual.settle();
  REQUIRE(order.empty());
  manual.advance(10ms - 1ns);
  REQUIRE(order.empty());
  manual.advance(1ns);
  REQUIRE(order == Order{1});
  manual.advance(1s);
  REQUIRE(order == Order{1, 2, 3});
  manual.advance(1s);
  REQUIRE(order.size() == 3);
}

TEST_CASE("timers due at the same time fire in the order they were armed") {
  ManualLoop manual;
  Order order;
  std::vector<Registration> timers;
  for (int i = 0; i < 5; ++i)
    timers.push_back(manual.loop().after(5ms, [&order, i] { order.push_back(i); }));
  manual.advance(5ms);
  REQUIRE(order == Order{0, 1, 2, 3, 4});
}

TEST_CASE("a timer is not run inside the call that arms it, however short") {
  ManualLoop manual;
  int fired = 0;
  const auto zero = manual.loop().after(0ns, [&] { ++fired; });
  const auto negative = manual.loop().after(-1h, [&] { ++fired; });
  REQUIRE(fired == 0);
  manual.loop().step();
  REQUIRE(fired == 2);
}

TEST_CASE("a timer armed by a timer for at once fires in the next turn") {
  ManualLoop manual;
  int fired = 0;
  Registration timer;
  const std::function<void()> again = [&] {
    if (++fired < 3) timer = manual.loop().after(0ns, again);
  };
  timer = manual.loop().after(0ns, again);
  for (const int turns : {1, 2, 3, 3}) {
    manual.loop().step();
    REQUIRE(fired == turns);
  }
}

TEST_CASE("a timer due in the same turn can be cancelled by an earlier one") {
  ManualLoop manual;
  Order order;
  Registration second;
  Registration third;
  const auto first = manual.loop().after(1ms, [&] {
    order.push_back(1);
    second.reset();
  });
  second = manual.loop().after(1ms, [&] { order.push_back(2); });
  third = manual.loop().after(2ms, [&] { order.push_back(3); });
  manual.advance(10ms);
  REQUIRE(order == Order{1, 3});
}

TEST_CASE("a timer can end its own registration while it runs, and what it captured lives on") {
  ManualLoop manual;
  std::string seen;
  Registration timer;
  timer = manual.loop().after(1ms, [&, text = std::string(100, 'x')] {
    timer.reset();
    seen = text;
  });
  manual.advance(1ms);
  REQUIRE(seen == std::string(100, 'x'));
}

TEST_CASE("a timer can arm its own registration anew") {
  ManualLoop manual;
  int fired = 0;
  Registration timer;
  const std::function<void()> tick = [&] {
    ++fired;
    timer = manual.loop().after(10ms, tick);
  };
  timer = manual.loop().after(10ms, tick);
  for (int i = 0; i < 10; ++i) manual.advance(10ms);
  REQUIRE(fired == 10);
}

TEST_CASE("cancelling a timer whose function owns the registration of another cancels both") {
  ManualLoop manual;
  int fired = 0;
  auto inner = std::make_shared<Registration>(manual.loop().after(1ms, [&] { ++fired; }));
  auto outer = manual.loop().after(1ms, [&fired, inner] { ++fired; });
  inner.reset();
  outer.reset();
  manual.advance(1s);
  REQUIRE(fired == 0);
}

TEST_CASE("the longest delay there is neither overflows nor fires") {
  ManualLoop manual;
  manual.advance(1h);
  int fired = 0;
  const auto timer = manual.loop().after(std::chrono::nanoseconds::max(), [&] { ++fired; });
  manual.advance(24h * 365);
  REQUIRE(fired == 0);
}

TEST_CASE("on the real clock a waiting step returns for a timer") {
  EventLoop loop;
  bool fired = false;
  const auto start = EventLoop::Clock::now();
  const auto timer = loop.after(1ms, [&] { fired = true; });
  while (!fired) loop.step(1h);
  REQUIRE(EventLoop::Clock::now() - start >= 1ms);  // never early
}

TEST_CASE("a step longer than epoll can wait for is cut, a negative one does not wait") {
  EventLoop loop;
  bool ran = false;
  loop.post([&] { ran = true; });
  REQUIRE(loop.step(std::chrono::milliseconds::max()));
  REQUIRE(ran);
  REQUIRE(!loop.step(-1ms));
}

// ---- registrations ----------------------------------------------------------------------------

TEST_CASE("a registration moves, and assignment ends the old one") {
  ManualLoop manual;
  Order order;
  Registration a = manual.loop().after(1ms, [&] { order.push_back(1); });
  Registration b = std::move(a);
  REQUIRE(!a);
  REQUIRE(b);
  b = manual.loop().after(1ms, [&] { order.push_back(2); });
  manual.advance(1ms);
  REQUIRE(order == Order{2});
}

TEST_CASE("an empty registration can be reset and destroyed") {
  Registration none;
  REQUIRE(!none);
  none.reset();
}

// ---- descriptors ------------------------------------------------------------------------------

TEST_CASE("a watch is called as long as its descriptor is ready, with the events") {
  ManualLoop manual;
  const UniqueFd fd = ready_fd();
  std::vector<uint32_t> seen;
  const auto watch =
      manual.loop().watch(fd.get(), EPOLLIN, [&](uint32_t events) { seen.push_back(events); });
  REQUIRE(seen.empty());
  REQUIRE(manual.loop().step());
  REQUIRE(manual.loop().step());
  REQUIRE(seen == std::vector<uint32_t>{EPOLLIN, EPOLLIN});
  drain_eventfd(fd.get());
  REQUIRE(!manual.loop().step());
}

TEST_CASE("an edge-triggered watch is called once an edge") {
  ManualLoop manual;
  const UniqueFd fd = ready_fd();
  int calls = 0;
  const auto watch = manual.loop().watch(fd.get(), EPOLLIN | EPOLLET, [&](uint32_t) { ++calls; });
  manual.settle();
  REQUIRE(calls == 1);
  signal_eventfd(fd.get());
  manual.settle();
  REQUIRE(calls == 2);
}

TEST_CASE("a hang-up is reported without being asked for") {
  ManualLoop manual;
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const UniqueFd out{ends[0]};
  UniqueFd in{ends[1]};
  uint32_t seen = 0;
  Registration watch;
  watch = manual.loop().watch(out.get(), 0, [&](uint32_t events) {
    seen = events;
    watch.reset();
  });
  in.reset();
  manual.settle();
  REQUIRE((seen & EPOLLHUP) != 0);
}

TEST_CASE("an ended watch is not called any more and its descriptor can be watched again") {
  ManualLoop manual;
  const UniqueFd fd = ready_fd();
  int first = 0;
  int second = 0;
  auto watch = manual.loop().watch(fd.get(), EPOLLIN, [&](uint32_t) { ++first; });
  watch.reset();
  watch = manual.loop().watch(fd.get(), EPOLLIN, [&](uint32_t) { ++second; });
  manual.loop().step();
  REQUIRE(first == 0);
  REQUIRE(second == 1);
}

TEST_CASE("a watch can end itself while it runs, and what it captured lives on") {
  ManualLoop manual;
  const UniqueFd fd = ready_fd();
  std::string seen;
  Registration watch;
  watch = manual.loop().watch(fd.get(), EPOLLIN, [&, text = std::string(100, 'x')](uint32_t) {
    watch.reset();
    seen += text;
  });
  manual.settle();
  REQUIRE(seen == std::string(100, 'x'));
}

TEST_CASE("a watch that is ended by another one ready in the same turn is not called") {
  ManualLoop manual;
  const UniqueFd fd_a = ready_fd();
  const UniqueFd fd_b = ready_fd();
  int calls = 0;
  Registration a;
  Registration b;
  const auto end_both = [&](uint32_t) {
    ++calls;
    a.reset();
    b.reset();
  };
  a = manual.loop().watch(fd_a.get(), EPOLLIN, end_both);
  b = manual.loop().watch(fd_b.get(), EPOLLIN, end_both);
  manual.settle();
  REQUIRE(calls == 1);
}

TEST_CASE("a watch made in a turn does not get an event of that turn") {
  ManualLoop manual;
  UniqueFd old_fd = ready_fd();
  const UniqueFd trigger = ready_fd();
  int wrong = 0;
  Registration old;
  Registration fresh;
  // Whichever is called first closes the other's descriptor and watches a new one, which most
  // likely has the same number.
  const auto replace = [&](uint32_t) {
    if (!old) return;
    old.reset();
    old_fd.reset();
    old_fd = make_eventfd();
    fresh = manual.loop().watch(old_fd.get(), EPOLLIN, [&](uint32_t) { ++wrong; });
    drain_eventfd(trigger.get());
  };
  const auto watch = manual.loop().watch(trigger.get(), EPOLLIN, replace);
  old = manual.loop().watch(old_fd.get(), EPOLLIN, replace);
  manual.settle();
  REQUIRE(fresh);
  REQUIRE(wrong == 0);
}

TEST_CASE("watches whose functions own each other's registrations end in a chain") {
  // A session that owns itself through its callbacks, and on the way out another one.
  struct Session {
    UniqueFd fd = ready_fd();
    Registration watch;
    std::shared_ptr<Session> next;
  };
  ManualLoop manual;
  std::shared_ptr<Session> chain;
  std::weak_ptr<Session> last;
  for (int i = 0; i < 20; ++i) {
    auto session = std::make_shared<Session>();
    if (i == 0) last = session;
    session->next = std::move(chain);
    session->watch = manual.loop().watch(session->fd.get(), EPOLLIN, [session](uint32_t) {});
    chain = std::move(session);
  }
  for (auto session = chain; session; session = session->next) session->watch.reset();
  chain.reset();
  for (int i = 0; i < 3; ++i) manual.loop().step();
  REQUIRE(last.expired());
}

TEST_CASE("a cancelled watch whose function holds the last reference to a watching object") {
  struct Owner {
    UniqueFd fd = make_eventfd();
    Registration watch;
  };
  ManualLoop manual;
  auto owner = std::make_shared<Owner>();
  const std::weak_ptr<Owner> alive = owner;
  owner->watch = manual.loop().watch(owner->fd.get(), EPOLLIN, [](uint32_t) {});
  const UniqueFd fd = ready_fd();
  Registration watch;
  watch = manual.loop().watch(fd.get(), EPOLLIN, [&watch, held = std::move(owner)](uint32_t) {
    watch.reset();  // at the end of the turn `held` goes, and with it the owner's watch
  });
  manual.settle();
  REQUIRE(alive.expired());
  REQUIRE(!manual.loop().step());
}

TEST_CASE("what epoll refuses is thrown") {
  ManualLoop manual;
  const testing::TempFile file;
  const UniqueFd regular = file.open();
  REQUIRE_THROWS_AS(manual.loop().watch(regular.get(), EPOLLIN, [](uint32_t) {}),
                    std::system_error);
  REQUIRE_THROWS_AS(manual.loop().watch(-1, EPOLLIN, [](uint32_t) {}), std::system_error);
  const UniqueFd fd = make_eventfd();
  const auto watch = manual.loop().watch(fd.get(), EPOLLIN, [](uint32_t) {});
  REQUIRE_THROWS_AS(manual.loop().watch(fd.get(), EPOLLIN, [](uint32_t) {}), std::system_error);
}

TEST_CASE("a running loop that finds no room for a watch makes it when there is some") {
  ManualLoop manual;
  EventLoop& loop = manual.loop();
  const UniqueFd fd = ready_fd();
  int called = 0;
  Registration kept;
  Registration ended;
  const bool ran = testing::with_refused_calls({SYS_epoll_ctl}, ENOSPC, [&] {
    loop.post([&] {
      kept = loop.watch(fd.get(), EPOLLIN, [&](uint32_t) { ++called; });
      ended = loop.watch(fd.get(), EPOLLIN, [&](uint32_t) { called += 100; });
      loop.stop();
    });
    loop.run();
  });
  if (!ran) return;
  ended.reset();
  manual.loop().step();
  REQUIRE(called == 0);
  manual.set_forward(1s);
  for (int turn = 0; turn < 3; ++turn) manual.loop().step();
  REQUIRE(called > 0);
  REQUIRE(called < 100);
}

TEST_CASE("a loop that nobody runs yet tells that there is no room for a watch") {
  EventLoop loop;
  const UniqueFd fd = ready_fd();
  int error = 0;
  const bool ran = testing::with_refused_calls({SYS_epoll_ctl}, ENOSPC, [&] {
    try {
      const auto watch = loop.watch(fd.get(), EPOLLIN, [](uint32_t) {});
    } catch (const std::system_error& thrown) {
      error = thrown.code().value();
    }
  });
  if (!ran) return;
  REQUIRE(error == ENOSPC);
}

TEST_CASE("more descriptors than one epoll_wait returns are all served") {
  ManualLoop manual;
  std::vector<UniqueFd> fds;
  std::vector<Registration> watches;
  int served = 0;
  for (int i = 0; i < 200; ++i) {
    fds.push_back(ready_fd());
    const int fd = fds.back().get();
    watches.push_back(manual.loop().watch(fd, EPOLLIN, [&served, fd](uint32_t) {
      drain_eventfd(fd);
      ++served;
    }));
  }
  manual.settle();
  REQUIRE(served == 200);
}

// ---- posted functions -------------------------------------------------------------------------

TEST_CASE("posted functions run in order, those they post in the next turn") {
  ManualLoop manual;
  Order order;
  manual.loop().post([&] {
    order.push_back(1);
    manual.loop().post([&] { order.push_back(3); });
  });
  manual.loop().post([&] { order.push_back(2); });
  REQUIRE(order.empty());
  REQUIRE(manual.loop().step());
  REQUIRE(order == Order{1, 2});
  REQUIRE(manual.loop().step());
  REQUIRE(order == Order{1, 2, 3});
  REQUIRE(!manual.loop().step());
}

TEST_CASE("functions posted by many threads all run, each thread's in order, on the loop") {
  constexpr int kThreads = 4;
  constexpr int kPosts = 2000;
  EventLoop loop;
  std::array<int, kThreads> next{};
  int wrong = 0;
  int left = kThreads * kPosts;
  std::vector<std::thread> posters;
  for (size_t thread = 0; thread < kThreads; ++thread)
    posters.emplace_back([&, thread] {
      for (int i = 0; i < kPosts; ++i)
        loop.post([&, thread, i] {
          if (next[thread]++ != i || !loop.runs_on_this_thread()) ++wrong;
          if (--left == 0) loop.stop();
        });
    });
  loop.run();
  for (std::thread& poster : posters) poster.join();
  REQUIRE(wrong == 0);
  REQUIRE(left == 0);
}

TEST_CASE("a waiting loop is woken by every post") {
  LoopThread io("io");
  for (int i = 0; i < 1000; ++i) REQUIRE(call(io.loop(), [i] { return i; }) == i);
}

// ---- hooks ------------------------------------------------------------------------------------

TEST_CASE("a hook runs once a turn, after what the turn ran and before the wait") {
  ManualLoop manual;
  Order order;
  const auto hook = manual.loop().each_turn([&] { order.push_back(0); });
  manual.loop().post([&] { order.push_back(1); });
  manual.loop().step();
  manual.loop().post([&] { order.push_back(2); });
  manual.loop().step();
  REQUIRE(order == Order{0, 1, 0, 2});
}

TEST_CASE("what a hook posts runs without a wait") {
  EventLoop loop;
  bool ran = false;
  Registration hook;
  hook = loop.each_turn([&] {
    loop.post([&] { ran = true; });
    hook.reset();
  });
  loop.step(1h);
  REQUIRE(ran);
}

TEST_CASE("a timer that a hook arms shortens the wait") {
  EventLoop loop;
  bool fired = false;
  Registration timer;
  const auto hook = loop.each_turn([&] {
    if (!timer) timer = loop.after(0ns, [&] { fired = true; });
  });
  loop.step(1h);
  REQUIRE(fired);
}

TEST_CASE("a hook that asks for another turn leaves the wait out, once") {
  EventLoop loop;
  int turns = 0;
  const auto hook = loop.each_turn([&] {
    if (++turns == 1) loop.turn_again();
  });
  REQUIRE(loop.step(1h));  // would last an hour
  REQUIRE(!loop.step());
  REQUIRE(turns == 2);
}

TEST_CASE("a hook can end itself, a later one, and begin a new one") {
  ManualLoop manual;
  Order order;
  Registration self;
  Registration later;
  Registration added;
  self = manual.loop().each_turn([&, text = std::string(100, 'x')] {
    self.reset();
    later.reset();
    added = manual.loop().each_turn([&] { order.push_back(3); });
    order.push_back(static_cast<int>(text.size()));
  });
  later = manual.loop().each_turn([&] { order.push_back(2); });
  manual.loop().step();
  REQUIRE(order == Order{100});
  manual.loop().step();
  REQUIRE(order == Order{100, 3});
}

// ---- run and stop -----------------------------------------------------------------------------

TEST_CASE("a loop stopped before it runs still runs what was posted, then returns") {
  EventLoop loop;
  bool ran = false;
  loop.post([&] { ran = true; });
  loop.stop();
  loop.run();
  REQUIRE(ran);
}

TEST_CASE("a stopped loop stays stopped") {
  EventLoop loop;
  loop.stop();
  loop.run();
  loop.run();
  REQUIRE(!loop.runs_on_this_thread());
}

TEST_CASE("stop from a callback finishes the turn") {
  EventLoop loop;
  const UniqueFd fd = ready_fd();
  Order order;
  const auto watch = loop.watch(fd.get(), EPOLLIN, [&](uint32_t) {
    if (order.empty()) {
      order.push_back(1);
      loop.stop();
      loop.post([&] { order.push_back(2); });
    }
  });
  loop.run();
  REQUIRE(order == Order{1, 2});
}

TEST_CASE("stop from another thread ends a waiting run") {
  EventLoop loop;
  std::thread runner([&] { loop.run(); });
  loop.stop();
  runner.join();
  REQUIRE(!loop.runs_on_this_thread());
}

TEST_CASE("a loop can be destroyed with timers and posted functions that own registrations") {
  std::vector<std::weak_ptr<Registration>> owned;
  {
    EventLoop loop;
    for (int i = 0; i < 3; ++i) {
      auto timer = std::make_shared<Registration>(loop.after(1h, [] {}));
      owned.emplace_back(timer);
      auto hook = std::make_shared<Registration>(loop.each_turn([] {}));
      owned.emplace_back(hook);
      loop.post([timer, hook] {});
    }
  }
  for (const auto& registration : owned) REQUIRE(registration.expired());
}

TEST_CASE("a loop is not stepped from its own callbacks") {
  REQUIRE_THAT(testing::abort_message([] {
                 EventLoop loop;
                 loop.post([&] { loop.step(); });
                 loop.step();
               }),
               Catch::Contains("a loop is not stepped from its own callbacks"));
}

#ifndef NDEBUG
TEST_CASE("touching a loop that another thread runs aborts in debug builds") {
  // From the first moment on, also before the thread has reached run().
  REQUIRE_THAT(testing::abort_message([] {
                 LoopThread io("io");
                 const auto timer = io.loop().after(1s, [] {});
               }),
               Catch::Contains("a loop's objects are touched on its thread"));
}
#endif

// ---- borrowing --------------------------------------------------------------------------------

namespace {

// Its thread may be on its way to or from a wait.
void borrow(EventLoop& loop, const std::function<void()>& function) {
  while (!loop.borrow(function)) std::this_thread::yield();
}

// What was posted is through with what it refers to.
void finish_turn(EventLoop& loop) {
  call(loop, [] { return true; });
}

}  // namespace

TEST_CASE("a loop whose thread waits can be borrowed, and is that thread's again") {
  LoopThread io("io");
  EventLoop& loop = io.loop();
  const auto self = std::this_thread::get_id();
  for (int i = 0; i < 100; ++i) {
    std::thread::id inside;
    bool borrowed = false, posted_borrowed = true;
    std::promise<std::thread::id> posted;
    borrow(loop, [&] {
      inside = std::this_thread::get_id();
      borrowed = loop.is_borrowed() && loop.runs_on_this_thread();
      loop.post([&] {
        posted_borrowed = loop.is_borrowed();
        posted.set_value(std::this_thread::get_id());
      });
    });
    REQUIRE(inside == self);
    REQUIRE(borrowed);
    REQUIRE(posted.get_future().get() != self);
    finish_turn(loop);
    REQUIRE(!posted_borrowed);
    REQUIRE(!loop.runs_on_this_thread());
  }
}

TEST_CASE("a loop is not borrowed while its thread, another borrower or nobody runs it") {
  EventLoop idle;
  CHECK_FALSE(idle.borrow([] {}));
  LoopThread io("io");
  EventLoop& loop = io.loop();
  const auto refused = [&] { CHECK_FALSE(loop.borrow([] {})); };
  borrow(loop, [&] { std::thread(refused).join(); });
  std::promise<void> busy, free;
  loop.post([&] {
    busy.set_value();
    free.get_future().wait();
  });
  busy.get_future().wait();
  refused();
  free.set_value();
  finish_turn(loop);
}

TEST_CASE("what others post while a loop is borrowed is run afterwards") {
  LoopThread io("io");
  for (int i = 0; i < 100; ++i) {
    std::promise<void> posted;
    borrow(io.loop(),
           [&] { std::thread([&] { io.loop().post([&] { posted.set_value(); }); }).join(); });
    posted.get_future().wait();
    finish_turn(io.loop());
  }
}

TEST_CASE("many borrowers and posters take turns on a loop") {
  LoopThread io("io");
  int turns = 0;  // nobody's but the loop's
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        borrow(io.loop(), [&] { ++turns; });
        io.loop().post([&] { ++turns; });
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(call(io.loop(), [&] { return turns; }) == 4000);
}

// ---- threads and tasks ------------------------------------------------------------------------

namespace {

struct Fruit {
  explicit Fruit(int number) : weight(number) {}
  int weight;
};

Task<Fruit> grow(int weight) {
  co_return Fruit(weight);
}

Task<void> fail_after(EventLoop& loop, std::chrono::nanoseconds delay) {
  co_await loop.sleep(delay);
  throw ConfigError("rotten");
}

Task<int> sleep_twice(EventLoop& loop) {
  co_await loop.sleep(10ms);
  co_await loop.sleep(20ms);
  co_return 2;
}

// Keeps `token` as a parameter, which lives as long as the coroutine's frame.
Task<int> hold(EventLoop& loop, std::shared_ptr<int> token) {
  co_await loop.sleep(0ns);
  co_return *token;
}

Task<void> note(EventLoop& loop, std::chrono::nanoseconds delay, int number, Order& order) {
  co_await loop.sleep(delay);
  order.push_back(number);
}

}  // namespace

TEST_CASE("call brings back values and exceptions from the loop's thread") {
  LoopThread io("io");
  const auto here = std::this_thread::get_id();
  REQUIRE(call(io.loop(), [] { return std::this_thread::get_id(); }) != here);
  REQUIRE(call(io.loop(), [&] { return io.loop().runs_on_this_thread(); }));
  REQUIRE(!io.loop().runs_on_this_thread());
  bool ran = false;
  call(io.loop(), [&] { ran = true; });
  REQUIRE(ran);
  REQUIRE_THROWS_WITH(call(io.loop(), [] { throw ConfigError("no"); }), "no");
}

TEST_CASE("call runs a task on the loop") {
  LoopThread io("io");
  REQUIRE(call(io.loop(), grow(7)).weight == 7);
  REQUIRE_THROWS_WITH(call(io.loop(), fail_after(io.loop(), 0ns)), "rotten");
}

TEST_CASE("when call returns, the task and its parameters are gone") {
  LoopThread io("io");
  for (int i = 0; i < 200; ++i) {
    auto token = std::make_shared<int>(i);
    REQUIRE(call(io.loop(), hold(io.loop(), token)) == i);
    REQUIRE(token.use_count() == 1);
  }
}

TEST_CASE("call from the loop itself aborts instead of waiting for ever") {
  REQUIRE_THAT(testing::abort_message([] {
                 EventLoop loop;
                 loop.post([&] { call(loop, [] {}); });
                 loop.run();
               }),
               Catch::Contains("call() from the loop itself would wait for ever"));
}

TEST_CASE("an exception that leaves a callback ends the process") {
  REQUIRE_THAT(testing::abort_message([] {
                 EventLoop loop;
                 loop.post([] { throw ConfigError("escaped"); });
                 loop.run();
               }),
               Catch::Contains("escaped"));
}

TEST_CASE("what leaves a callback is told to who listens, and the others go on") {
  ManualLoop manual;
  EventLoop& loop = manual.loop();
  std::vector<std::string> told;
  loop.on_failure([&](const std::string& what) { told.push_back(what); });
  Order order;
  const UniqueFd fd = ready_fd();
  Registration watch;
  watch = loop.watch(fd.get(), EPOLLIN, [&](uint32_t) {
    watch.reset();
    throw ConfigError("of a watch");
  });
  const auto timer = loop.after(0ns, [] { throw ConfigError("of a timer"); });
  const auto later = loop.after(0ns, [&] { order.push_back(1); });
  loop.post([] { throw std::system_error(ENOSPC, std::system_category(), "of a post"); });
  loop.post([&] { order.push_back(2); });
  Registration hook;
  hook = loop.each_turn([&] {
    hook.reset();
    throw ConfigError("of a hook");
  });
  manual.settle();
  REQUIRE(told == std::vector<std::string>{"of a hook", "of a watch",
                                           "of a post: No space left on device", "of a timer"});
  REQUIRE(order == Order{2, 1});
}

TEST_CASE("without a listener an exception ends the turn, and the next turn is as ever") {
  ManualLoop manual;
  manual.loop().post([] { throw ConfigError("escaped"); });
  REQUIRE_THROWS_WITH(manual.loop().step(), "escaped");
  bool ran = false;
  manual.loop().post([&] { ran = true; });
  manual.settle();
  REQUIRE(ran);
}

TEST_CASE("what leaves a borrower's function is told, and the loop is its thread's again") {
  LoopThread io("io");
  std::atomic<int> told = 0;
  call(io.loop(), [&] { io.loop().on_failure([&](const std::string&) { ++told; }); });
  while (!io.loop().borrow([] { throw ConfigError("escaped"); })) std::this_thread::yield();
  REQUIRE(told == 1);
  REQUIRE(call(io.loop(), [&] { return !io.loop().is_borrowed(); }));
}

TEST_CASE("a loop's thread bears its name, cut to what the kernel takes") {
  LoopThread io("io-with-a-very-long-name");
  const auto name = call(io.loop(), [] {
    std::array<char, 32> text{};
    ::pthread_getname_np(::pthread_self(), text.data(), text.size());
    return std::string(text.data());
  });
  REQUIRE(name == "io-with-a-very-");
}

TEST_CASE("a loop thread that nobody used ends") {
  for (int i = 0; i < 50; ++i) const LoopThread io("io");
}

TEST_CASE("block_on gives a task's value or exception") {
  EventLoop loop;
  REQUIRE(block_on(loop, grow(3)).weight == 3);
  REQUIRE_THROWS_WITH(block_on(loop, fail_after(loop, 0ns)), "rotten");
  REQUIRE(block_on(loop, hold(loop, std::make_shared<int>(5))) == 5);
}

TEST_CASE("sleep resumes when the time has come") {
  ManualLoop manual;
  Order order;
  Scope scope;
  scope.spawn(note(manual.loop(), 30ms, 3, order));
  scope.spawn(note(manual.loop(), 10ms, 1, order));
  scope.spawn(note(manual.loop(), 20ms, 2, order));
  manual.advance(15ms);
  REQUIRE(order == Order{1});
  manual.advance(15ms);
  REQUIRE(order == Order{1, 2, 3});
  REQUIRE(scope.running() == 0);
}

TEST_CASE("a task can sleep again and again") {
  ManualLoop manual;
  std::promise<int> promise;
  auto slept = promise.get_future();
  detail::fulfil(sleep_twice(manual.loop()), std::move(promise));
  manual.advance(10ms);
  REQUIRE(slept.wait_for(0s) == std::future_status::timeout);
  manual.advance(19ms);
  REQUIRE(slept.wait_for(0s) == std::future_status::timeout);
  manual.advance(1ms);
  REQUIRE(slept.get() == 2);
}

TEST_CASE("a manual loop tells a task that never ends") {
  REQUIRE_THAT(testing::abort_message([] {
                 ManualLoop manual;
                 manual.run(sleep_twice(manual.loop()));
               }),
               Catch::Contains("the task needs nothing but turns of the loop"));
}
