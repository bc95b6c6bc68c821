#include "vmm/cpu/retry_limit.h"

#include <catch2/catch.hpp>

using namespace vireo;
using namespace std::chrono_literals;

namespace {

// How many tries `apart` from each other are allowed, of at most `most`.
unsigned allowed(RetryLimit& limit, RetryLimit::Time& now, std::chrono::nanoseconds apart,
                 unsigned most) {
  for (unsigned tries = 0; tries < most; ++tries, now += apart)
    if (!limit.may_retry(now)) return tries;
  return most;
}

}  // namespace

TEST_CASE("tries without end are ended, after the time and the number that there are for them") {
  RetryLimit limit;
  RetryLimit::Time now{};
  SECTION("quick ones by the time") {
    CHECK(allowed(limit, now, 1ms, 1'000'000) == 10'001);
  }
  SECTION("slow ones by their number") {
    CHECK(allowed(limit, now, 500ms, 1'000'000) == RetryLimit::kTries);
  }
}

TEST_CASE("tries between which the kernel waits, or that succeed now and then, go on for ever") {
  RetryLimit limit;
  RetryLimit::Time now{};
  CHECK(allowed(limit, now, 1001ms, 100'000) == 100'000);
  limit.succeeded();
  for (int i = 0; i < 100; ++i) {
    CHECK(allowed(limit, now, 1ms, 9000) == 9000);
    CHECK(limit.tries() == 9000);
    limit.succeeded();
  }
}
