#include "vmm/base/async_sync.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/task.h"
#include "vmm/testing/death.h"

using namespace vireo;

namespace {

using Order = std::vector<int>;

// More than any stack has room for frames of.
constexpr int kVeryMany = 200'000;

Task<void> lock_and_note(AsyncMutex& mutex, Event& hold, int number, Order& order) {
  const AsyncMutex::Guard guard = co_await mutex.lock();
  order.push_back(number);
  co_await hold.wait();
  order.push_back(-number);
}

Task<void> acquire_and_note(Semaphore& semaphore, int number, Order& order) {
  co_await semaphore.acquire();
  order.push_back(number);
}

Task<void> pass(Event& event, int number, Order& order) {
  co_await event.wait();
  order.push_back(number);
}

}  // namespace

// ---- AsyncMutex -------------------------------------------------------------------------------

TEST_CASE("a mutex lets one in at a time, in order of arrival") {
  AsyncMutex mutex;
  Event hold;
  Order order;
  Scope scope;
  for (const int number : {1, 2, 3}) scope.spawn(lock_and_note(mutex, hold, number, order));
  REQUIRE(order == Order{1});
  hold.set();
  REQUIRE(order == Order{1, -1, 2, -2, 3, -3});
  REQUIRE(scope.running() == 0);
}

TEST_CASE("a mutex that was given back is free") {
  AsyncMutex mutex;
  Event open;
  open.set();
  Order order;
  Scope scope;
  scope.spawn(lock_and_note(mutex, open, 1, order));
  scope.spawn(lock_and_note(mutex, open, 2, order));
  REQUIRE(order == Order{1, -1, 2, -2});
}

namespace {

Task<void> unlock_early(AsyncMutex& mutex, Event& hold, Order& order) {
  AsyncMutex::Guard guard = co_await mutex.lock();
  AsyncMutex::Guard moved = std::move(guard);
  guard.unlock();  // holds nothing any more
  order.push_back(1);
  co_await hold.wait();
  moved.unlock();
  moved.unlock();
  order.push_back(2);
  const AsyncMutex::Guard again = co_await mutex.lock();
  order.push_back(3);
}

}  // namespace

TEST_CASE("a guard unlocks once, wherever it was moved") {
  AsyncMutex mutex;
  Event hold;
  Event hold_other;
  Order order;
  Scope scope;
  scope.spawn(unlock_early(mutex, hold, order));
  scope.spawn(lock_and_note(mutex, hold_other, 10, order));
  REQUIRE(order == Order{1});
  hold.set();
  REQUIRE(order == Order{1, 10, 2});
  hold_other.set();
  REQUIRE(order == Order{1, 10, 2, -10, 3});
}

namespace {

Task<void> fail_locked(AsyncMutex& mutex) {
  const AsyncMutex::Guard guard = co_await mutex.lock();
  throw std::runtime_error("inside");
}

Task<void> note_failure(AsyncMutex& mutex, Order& order) {
  try {
    co_await fail_locked(mutex);
  } catch (const std::runtime_error&) {
    order.push_back(1);
  }
}

}  // namespace

TEST_CASE("an exception gives the mutex back") {
  AsyncMutex mutex;
  Event open;
  open.set();
  Order order;
  Scope scope;
  scope.spawn(note_failure(mutex, order));
  scope.spawn(lock_and_note(mutex, open, 2, order));
  REQUIRE(order == Order{1, 2, -2});
}

TEST_CASE("however many wait for a mutex, handing it on does not grow the stack") {
  AsyncMutex mutex;
  Event hold;
  Order order;
  Scope scope;
  for (int i = 1; i <= kVeryMany; ++i) scope.spawn(lock_and_note(mutex, hold, i, order));
  hold.set();
  REQUIRE(scope.running() == 0);
  REQUIRE(order.size() == size_t{2} * kVeryMany);
  REQUIRE(order.back() == -kVeryMany);
}

// ---- Semaphore --------------------------------------------------------------------------------

TEST_CASE("a semaphore lets as many through as it counts") {
  Semaphore semaphore(2);
  Order order;
  Scope scope;
  for (const int number : {1, 2, 3, 4}) scope.spawn(acquire_and_note(semaphore, number, order));
  REQUIRE(order == Order{1, 2});
  semaphore.release();
  REQUIRE(order == Order{1, 2, 3});
  semaphore.release();
  semaphore.release();
  REQUIRE(order == Order{1, 2, 3, 4});
  scope.spawn(acquire_and_note(semaphore, 5, order));  // the place of the last release
  REQUIRE(order.back() == 5);
  REQUIRE(scope.running() == 0);
}

namespace {

// Takes a place again and again, giving it back in between.
Task<void> come_back(Semaphore& semaphore, int times, Order& order) {
  for (int i = 1; i <= times; ++i) {
    co_await semaphore.acquire();
    order.push_back(i);
    semaphore.release();
  }
}

Task<void> release_twice(Semaphore& semaphore, Order& order) {
  co_await semaphore.acquire();
  order.push_back(0);
  semaphore.release();
  semaphore.release();
}

}  // namespace

TEST_CASE("one who gives a place up and wants it again does not overtake those who wait") {
  Semaphore semaphore(0);
  Order order;
  Scope scope;
  scope.spawn(come_back(semaphore, 2, order));
  scope.spawn(acquire_and_note(semaphore, 10, order));
  scope.spawn(acquire_and_note(semaphore, 20, order));
  semaphore.release();
  REQUIRE(order == Order{1, 10});
  semaphore.release();
  REQUIRE(order == Order{1, 10, 20});
  semaphore.release();
  REQUIRE(order == Order{1, 10, 20, 2});
  REQUIRE(scope.running() == 0);
}

TEST_CASE("releases by a waiter that is just let go all count") {
  Semaphore semaphore(0);
  Order order;
  Scope scope;
  scope.spawn(release_twice(semaphore, order));  // let go, it releases twice while one waits
  scope.spawn(acquire_and_note(semaphore, 1, order));
  semaphore.release();
  REQUIRE(order == Order{0, 1});
  scope.spawn(acquire_and_note(semaphore, 2, order));
  REQUIRE(order == Order{0, 1, 2});
  scope.spawn(acquire_and_note(semaphore, 3, order));
  REQUIRE(order.size() == 3);
  semaphore.release();
  REQUIRE(scope.running() == 0);
}

TEST_CASE("however many wait for a semaphore, a chain of releases does not grow the stack") {
  Semaphore semaphore(0);
  Order order;
  Scope scope;
  for (int i = 0; i < kVeryMany; ++i) scope.spawn(come_back(semaphore, 1, order));
  semaphore.release();
  REQUIRE(order.size() == kVeryMany);
  REQUIRE(scope.running() == 0);
}

// ---- Event ------------------------------------------------------------------------------------

TEST_CASE("an event holds back until it is set, then lets everybody through") {
  Event event;
  Order order;
  Scope scope;
  REQUIRE(!event.is_set());
  for (const int number : {1, 2, 3}) scope.spawn(pass(event, number, order));
  REQUIRE(order.empty());
  event.set();
  REQUIRE(event.is_set());
  REQUIRE(order == Order{1, 2, 3});
  scope.spawn(pass(event, 4, order));
  REQUIRE(order.back() == 4);
}

TEST_CASE("a reset event holds back again") {
  Event event;
  Order order;
  Scope scope;
  event.set();
  event.reset();
  REQUIRE(!event.is_set());
  scope.spawn(pass(event, 1, order));
  REQUIRE(order.empty());
  event.set();
  REQUIRE(order == Order{1});
}

namespace {

Task<void> wait_reset_wait(Event& event, Order& order) {
  co_await event.wait();
  order.push_back(1);
  event.reset();
  co_await event.wait();
  order.push_back(2);
}

// Ends the life of what it waited for.
Task<void> wait_and_destroy(std::unique_ptr<Event>& event, Order& order) {
  Event& waited_for = *event;
  co_await waited_for.wait();
  order.push_back(1);
  event.reset();
}

}  // namespace

TEST_CASE("one who waits anew while an event is set waits for the next time") {
  Event event;
  Order order;
  Scope scope;
  scope.spawn(wait_reset_wait(event, order));
  scope.spawn(pass(event, 10, order));
  event.set();
  REQUIRE(order == Order{1, 10});  // 10 was waiting when it was set
  event.set();
  REQUIRE(order == Order{1, 10, 2});
}

TEST_CASE("the last waiter may destroy the event") {
  auto event = std::make_unique<Event>();
  Order order;
  Scope scope;
  scope.spawn(wait_and_destroy(event, order));
  event->set();
  REQUIRE(order == Order{1});
  REQUIRE(!event);
}

// ---- WaitList ---------------------------------------------------------------------------------

namespace {

struct Park {
  WaitList& list;
  WaitList::Waiter waiter{};
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) noexcept { list.park(waiter, handle); }
  void await_resume() const noexcept {}
};

Task<void> park_then_empty(WaitList& list, Order& order) {
  Park parked{list};
  co_await parked;
  order.push_back(list.empty() ? 1 : 0);
  if (!list.empty()) list.resume_one();
  order.push_back(list.empty() ? 1 : 0);
  list.resume_all();
  order.push_back(2);
}

}  // namespace

TEST_CASE("those let go but not yet resumed count as gone, and are resumed once") {
  WaitList list;
  Order order;
  Scope scope;
  scope.spawn(park_then_empty(list, order));
  scope.spawn(park_then_empty(list, order));
  REQUIRE(!list.empty());
  list.resume_one();
  REQUIRE(order == Order{0, 1, 2, 1, 1, 2});
  REQUIRE(list.empty());
  REQUIRE(scope.running() == 0);
}

// ---- who is let go may destroy what let it go ---------------------------------------------------

namespace {

template <class Primitive>
using Owned = std::unique_ptr<Primitive>;

Task<void> acquire_and_destroy(Owned<Semaphore>& semaphore, int number, Order& order) {
  co_await semaphore->acquire();
  semaphore.reset();
  order.push_back(number);
}

Task<void> hand_over_and_destroy(Owned<Semaphore>& semaphore, int number, Order& order) {
  co_await semaphore->acquire();
  semaphore->release();
  semaphore.reset();
  order.push_back(number);
}

Task<void> lock_and_destroy(Owned<AsyncMutex>& mutex, int number, Order& order) {
  AsyncMutex::Guard guard = co_await mutex->lock();
  guard.unlock();
  mutex.reset();
  order.push_back(number);
}

Task<void> park_and_destroy(Owned<WaitList>& list, int number, Order& order) {
  Park parked{*list};
  co_await parked;
  list.reset();
  order.push_back(number);
}

Task<void> join_and_destroy(Owned<Scope>& scope, Order& order) {
  co_await scope->join();
  scope.reset();
  order.push_back(2);
}

}  // namespace

TEST_CASE("canary: who joins a Scope destroys it inside the end of its last task") {
  auto inner = std::make_unique<Scope>();
  Event event;
  Order order;
  Scope outer;
  inner->spawn(pass(event, 1, order));
  outer.spawn(join_and_destroy(inner, order));
  event.set();
  REQUIRE(order == Order{1, 2});
  REQUIRE(!inner);
}

TEST_CASE("canary: a waiter destroys the semaphore inside the release") {
  auto semaphore = std::make_unique<Semaphore>(0);
  Order order;
  Scope scope;
  scope.spawn(acquire_and_destroy(semaphore, 1, order));
  semaphore->release();
  REQUIRE(order == Order{1});
  REQUIRE(!semaphore);
}

TEST_CASE("canary: a waiter destroys the semaphore while another is let go, which goes on, too") {
  auto semaphore = std::make_unique<Semaphore>(0);
  Order order;
  Scope scope;
  scope.spawn(hand_over_and_destroy(semaphore, 1, order));
  scope.spawn(acquire_and_note(*semaphore, 2, order));
  semaphore->release();
  REQUIRE(order == Order{1, 2});
  REQUIRE(scope.running() == 0);
}

TEST_CASE("canary: a waiter destroys the mutex inside the unlock") {
  auto mutex = std::make_unique<AsyncMutex>();
  Event hold;
  Order order;
  Scope scope;
  scope.spawn(lock_and_note(*mutex, hold, 1, order));
  scope.spawn(lock_and_destroy(mutex, 2, order));
  hold.set();
  REQUIRE(order == Order{1, -1, 2});
  REQUIRE(!mutex);
}

TEST_CASE("canary: the first of several waiters destroys the event inside the set") {
  auto event = std::make_unique<Event>();
  Order order;
  Scope scope;
  scope.spawn(wait_and_destroy(event, order));
  for (const int number : {2, 3}) scope.spawn(pass(*event, number, order));
  event->set();
  REQUIRE(order == Order{1, 2, 3});
  REQUIRE(!event);
}

TEST_CASE("canary: a waiter destroys the list inside either call") {
  auto list = std::make_unique<WaitList>();
  Order order;
  Scope scope;
  scope.spawn(park_and_destroy(list, 1, order));
  SECTION("that lets one go") {
    list->resume_one();
  }
  SECTION("that lets all go") {
    list->resume_all();
  }
  REQUIRE(order == Order{1});
  REQUIRE(!list);
}

TEST_CASE("a list that goes while somebody waits aborts") {
  REQUIRE_THAT(testing::abort_message([] {
                 Scope scope;
                 Order order;
                 auto event = std::make_unique<Event>();
                 scope.spawn(pass(*event, 1, order));
                 event.reset();
               }),
               Catch::Contains("nobody waits for what goes"));
}
