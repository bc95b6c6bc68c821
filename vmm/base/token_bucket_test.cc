#include "vmm/base/token_bucket.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

using namespace vireo;
using namespace std::chrono_literals;

TEST_CASE("limits that contradict themselves are refused") {
  CHECK_NOTHROW(check_rate_limit({}, "iops"));
  CHECK_NOTHROW(check_rate_limit({10, 20, 3600}, "iops"));
  CHECK_THROWS_WITH(check_rate_limit({0, 20}, "iops"), Catch::StartsWith("iops: "));
  CHECK_THROWS_AS(check_rate_limit({10, 5}, "iops"), ConfigError);
  CHECK_THROWS_AS(check_rate_limit({10, 20, 0}, "iops"), ConfigError);
  CHECK_THROWS_AS(check_rate_limit({10, 20, 3601}, "iops"), ConfigError);
  CHECK_THROWS_AS(check_rate_limit({10, 0, 2}, "iops"), ConfigError);
  CHECK_THROWS_AS(check_rate_limit({~uint64_t{0}, 0}, "iops"), ConfigError);
}

TEST_CASE("what a bucket has not got is waited for, and what it lent is owed") {
  const TokenBucket::Time start{};
  TokenBucket bucket(10, 3, start);
  CHECK(bucket.wait(start, 3) == 0ns);
  bucket.take(3);
  CHECK(bucket.wait(start, 1) == 100ms);
  CHECK(bucket.wait(start + 100ms, 1) == 0ns);
  CHECK(bucket.wait(start + 10s, 5) == 0ns);  // more than it can hold: as soon as it is full
  bucket.take(5);
  CHECK(bucket.wait(start + 10s, 1) == 300ms);
}

TEST_CASE("a limit of none never waits") {
  const TokenBucket::Time start{};
  RateMeter meter({}, start);
  meter.take(1 << 30);
  CHECK(meter.wait(start, 1 << 30) == 0ns);
}

TEST_CASE("a long burst goes at its height for as long as it lasts") {
  const TokenBucket::Time start{};
  RateMeter meter({.rate = 10, .burst = 100, .burst_length = 2}, start);
  meter.take(10);  // what the peak lets go at once
  CHECK(meter.wait(start, 1) == 10ms);
  auto now = start;
  for (int i = 0; i < 19; ++i) {
    now += 101ms;
    CHECK(meter.wait(now, 10) == 0ns);
    meter.take(10);
  }
}
