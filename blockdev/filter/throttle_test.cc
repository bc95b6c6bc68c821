#include "blockdev/filter/throttle.h"

#include <catch2/catch.hpp>

#include "blockdev/protocol/memory.h"
#include "blockdev/testing/node_contract.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using namespace std::chrono_literals;
using Clock = EventLoop::Clock;

namespace {

// A throttled disk on a loop whose clock the test moves.
struct Bench {
  explicit Bench(ThrottleRates rates)
      : disk("vda",
             std::make_unique<ThrottleNode>(loop, std::make_unique<MemoryNode>(1048576), rates)) {}
  ~Bench() { (void)block_on(loop, disk.close()); }

  void write(size_t bytes) { scope.spawn(write_one(bytes)); }
  void read(size_t bytes) { scope.spawn(read_one(bytes)); }
  void flush() { scope.spawn(flush_one()); }
  void pass(std::chrono::nanoseconds time) {
    now += time;
    loop.step();
  }

  Task<void> write_one(size_t bytes) {
    IoVecs from = buffer.vectors(0, bytes);
    const std::error_code error = co_await disk.write(0, std::move(from));
    if (!error) ++done;
  }
  Task<void> read_one(size_t bytes) {
    IoVecs into = buffer.vectors(0, bytes);
    const std::error_code error = co_await disk.read(0, std::move(into));
    if (!error) ++done;
  }
  Task<void> flush_one() {
    const std::error_code error = co_await disk.flush();
    if (!error) ++done;
  }

  Clock::time_point now{};
  EventLoop loop{[this] { return now; }};
  Buffer buffer{1048576, 4096};
  Disk disk;
  Scope scope;
  size_t done = 0;
};

}  // namespace

TEST_CASE("a throttle without need keeps the node contract") {
  check_node_contract([](TestHost& host) {
    const ThrottleRates rates{.iops = {1000000}, .bps = {uint64_t{1} << 39}};
    return std::make_unique<ThrottleNode>(host.loop, std::make_unique<MemoryNode>(kContractSize),
                                          rates);
  });
}

TEST_CASE("after a quiet time a burst goes at once, then the rate holds") {
  Bench bench({.iops = {10, 3}});
  for (int i = 0; i < 8; ++i) bench.write(512);
  REQUIRE(bench.done == 3);
  bench.pass(99ms);
  REQUIRE(bench.done == 3);
  bench.pass(2ms);
  REQUIRE(bench.done == 4);
  for (size_t expected = 5; expected <= 8; ++expected) {
    bench.pass(100ms);
    REQUIRE(bench.done == expected);
  }
  bench.pass(10s);  // no more than a burst is saved up
  for (int i = 0; i < 8; ++i) bench.write(512);
  REQUIRE(bench.done == 8 + 3);
}

TEST_CASE("bytes are limited too, and a request larger than the burst is paid for afterwards") {
  Bench bench({.bps = {100000, 10000}});
  bench.write(50000);
  REQUIRE(bench.done == 1);  // 40000 in debt
  bench.write(1);
  bench.pass(390ms);
  REQUIRE(bench.done == 1);
  bench.pass(20ms);
  REQUIRE(bench.done == 2);
}

TEST_CASE("the tighter of the two limits decides") {
  Bench bench({.iops = {1000}, .bps = {10000, 1000}});
  bench.write(2000);
  bench.write(1);
  bench.pass(50ms);
  REQUIRE(bench.done == 1);
  bench.pass(60ms);
  REQUIRE(bench.done == 2);
}

TEST_CASE("flushes are not held back") {
  Bench bench({.iops = {1, 1}});
  bench.write(1);
  bench.write(1);
  bench.flush();
  REQUIRE(bench.done == 2);
}

TEST_CASE("who waits for a disk to be idle does not wait for the rate") {
  Bench bench({.iops = {1, 1}});
  for (int i = 0; i < 100; ++i) bench.write(1);
  REQUIRE(bench.done == 1);
  block_on(bench.loop, bench.disk.idle());
  REQUIRE(bench.done == 100);
  bench.write(1);  // what was let go is owed
  bench.pass(90s);
  REQUIRE(bench.done == 100);
  bench.pass(12s);
  REQUIRE(bench.done == 101);
}

// Timers come to the millisecond: a tiny burst must not make a high rate unreachable.
TEST_CASE("a high rate is reached in spite of coarse timers") {
  Bench bench({.iops = {100000, 1}});
  for (int i = 0; i < 2000; ++i) bench.write(1);
  for (int i = 0; i < 20; ++i) bench.pass(1ms);
  REQUIRE(bench.done >= 1900);
}

TEST_CASE("reads and writes have limits of their own, and neither waits for the other's") {
  Bench bench({.iops_read = {10, 10}, .bps_write = {1000, 1000}});
  for (int i = 0; i < 12; ++i) bench.read(512);
  bench.write(1000);
  bench.write(1000);
  REQUIRE(bench.done == 10 + 1);
  bench.pass(201ms);
  bench.pass(1ms);
  REQUIRE(bench.done == 12 + 1);
  bench.pass(800ms);
  REQUIRE(bench.done == 12 + 2);
}

TEST_CASE("both directions share the limits of both") {
  Bench bench({.iops = {10, 10}});
  for (int i = 0; i < 6; ++i) bench.read(512);
  for (int i = 0; i < 6; ++i) bench.write(512);
  REQUIRE(bench.done == 10);
  bench.pass(101ms);
  bench.pass(101ms);
  REQUIRE(bench.done == 12);
}

TEST_CASE("a long burst is a higher rate for a while") {
  Bench bench({.iops = {10, 100, 3}});
  for (int i = 0; i < 400; ++i) bench.write(1);
  REQUIRE(bench.done == 10);  // a tenth of a second of the burst
  for (int i = 0; i < 400; ++i) bench.pass(10ms);
  // Three seconds at 100, paid back at 10 meanwhile; then 10 a second.
  REQUIRE(bench.done >= 300);
  REQUIRE(bench.done <= 345);
  const size_t before = bench.done;
  for (int i = 0; i < 100; ++i) bench.pass(10ms);
  REQUIRE(bench.done - before >= 9);
  REQUIRE(bench.done - before <= 11);
}
