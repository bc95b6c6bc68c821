#include "vmm/base/worker_pool.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/testing/death.h"
#include "vmm/testing/refused_calls.h"

using namespace vireo;

namespace {

Task<std::thread::id> where_it_ran(WorkerPool& pool, EventLoop& loop) {
  auto work = [] { return std::this_thread::get_id(); };
  co_return co_await offload(pool, loop, work);
}

Task<bool> goes_on_where_it_was(WorkerPool& pool, EventLoop& loop) {
  const auto before = std::this_thread::get_id();
  auto work = [] { return 0; };
  co_await offload(pool, loop, work);
  co_return std::this_thread::get_id() == before;
}

Task<std::unique_ptr<int>> move_only(WorkerPool& pool, EventLoop& loop, int value) {
  auto work = [value] { return std::make_unique<int>(value); };
  co_return co_await offload(pool, loop, work);
}

Task<void> add(WorkerPool& pool, EventLoop& loop, int value, int& sum) {
  const auto work = [value] { return value; };  // const: called through a reference to const
  const int result = co_await offload(pool, loop, work);
  sum += result;
}

Task<int> add_many(WorkerPool& pool, EventLoop& loop, int count) {
  int sum = 0;
  Scope scope;
  for (int i = 1; i <= count; ++i) scope.spawn(add(pool, loop, i, sum));
  co_await scope.join();
  co_return sum;
}

Task<int> one_after_another(WorkerPool& pool, EventLoop& loop, int count) {
  int sum = 0;
  for (int i = 1; i <= count; ++i) co_await add(pool, loop, i, sum);
  co_return sum;
}

}  // namespace

TEST_CASE("offload runs the function elsewhere and goes on on the loop") {
  EventLoop loop;
  WorkerPool pool;
  REQUIRE(block_on(loop, where_it_ran(pool, loop)) != std::this_thread::get_id());
  REQUIRE(block_on(loop, goes_on_where_it_was(pool, loop)));
  LoopThread io("io");
  REQUIRE(call(io.loop(), goes_on_where_it_was(pool, io.loop())));
}

TEST_CASE("offload brings results that only move") {
  EventLoop loop;
  WorkerPool pool;
  REQUIRE(*block_on(loop, move_only(pool, loop, 7)) == 7);
}

TEST_CASE("many offloads at once and one after another") {
  EventLoop loop;
  WorkerPool pool;
  REQUIRE(block_on(loop, add_many(pool, loop, 500)) == 125250);
  REQUIRE(block_on(loop, one_after_another(pool, loop, 500)) == 125250);
}

TEST_CASE("one thread takes the work in order of arrival") {
  std::vector<int> order;
  {
    WorkerPool pool(1);
    for (int i = 0; i < 100; ++i) pool.submit([&order, i] { order.push_back(i); });
  }
  REQUIRE(order.size() == 100);
  REQUIRE(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("a pool uses all of its threads and no more") {
  constexpr int kThreads = 3;
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::latch all_at_work(kThreads);
  {
    WorkerPool pool(kThreads);
    for (int i = 0; i < kThreads; ++i)  // none of these ends before all have begun
      pool.submit([&] { all_at_work.arrive_and_wait(); });
    all_at_work.wait();
    for (int i = 0; i < 100; ++i)
      pool.submit([&] {
        const std::lock_guard lock(mutex);
        seen.insert(std::this_thread::get_id());
      });
  }
  REQUIRE(!seen.empty());
  REQUIRE(seen.size() <= kThreads);
}

TEST_CASE("work behind a blocked thread is done by another") {
  std::latch released(1);
  WorkerPool pool(2);
  pool.submit([&] { released.wait(); });
  pool.submit([&] { released.count_down(); });
}

TEST_CASE("the destructor finishes what was queued, and what that queues") {
  std::atomic<int> done = 0;
  std::latch begun(1);
  {
    WorkerPool pool(2);
    pool.submit([&] { begun.wait(); });
    for (int i = 0; i < 50; ++i)
      pool.submit([&] {
        pool.submit([&] {
          ++done;
          pool.submit([&] { ++done; });
        });
      });
    begun.count_down();
  }
  REQUIRE(done == 100);
}

TEST_CASE("a pool that is being destroyed starts no more threads") {
  std::atomic<int> done = 0;
  {
    WorkerPool pool(64);
    pool.submit([&] {
      for (int i = 0; i < 500; ++i) pool.submit([&] { ++done; });
    });
  }
  REQUIRE(done == 500);
}

TEST_CASE("a pool that nobody used starts no thread and ends") {
  const WorkerPool pool(1000);
}

TEST_CASE("a pool without threads aborts instead of never doing anything") {
  REQUIRE_THAT(testing::abort_message([] { const WorkerPool pool(0); }),
               Catch::Contains("a pool has a thread"));
}

TEST_CASE("without a thread the work is done all the same, by who submits it") {
  std::thread::id submitter;
  std::thread::id worker;
  bool came_back = false;
  const bool ran = testing::with_refused_calls({SYS_clone, SYS_clone3}, EAGAIN, [&] {
    EventLoop loop;
    WorkerPool pool;
    submitter = std::this_thread::get_id();
    worker = block_on(loop, where_it_ran(pool, loop));
    came_back = block_on(loop, add_many(pool, loop, 100)) == 5050;
  });
  if (!ran) return;
  REQUIRE(worker == submitter);
  REQUIRE(came_back);
}

TEST_CASE("submitting from several threads loses nothing") {
  std::atomic<int> done = 0;
  {
    WorkerPool pool(4);
    std::vector<std::thread> submitters;
    for (int i = 0; i < 3; ++i)
      submitters.emplace_back([&] {
        for (int j = 0; j < 1000; ++j) pool.submit([&] { ++done; });
      });
    for (std::thread& submitter : submitters) submitter.join();
  }
  REQUIRE(done == 3000);
}
