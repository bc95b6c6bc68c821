#include "devices/display/picture/scroll.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include <catch2/catch.hpp>

namespace vireo::display {
namespace {

std::vector<uint64_t> rows(size_t count, uint64_t first) {
  std::vector<uint64_t> hashes(count);
  std::iota(hashes.begin(), hashes.end(), first);
  return hashes;
}

}  // namespace

TEST_CASE("rows that moved up or down together are found", "[display]") {
  const std::vector<uint64_t> before = rows(200, 1);
  std::vector<uint64_t> up = rows(200, 17);
  std::fill(up.begin() + 184, up.end(), 7777);
  REQUIRE(find_scroll(before, up) == Scroll{.from = 16, .first = 0, .count = 184});
  std::vector<uint64_t> down = before;
  std::rotate(down.begin(), down.end() - 24, down.end());
  REQUIRE(find_scroll(before, down) == Scroll{.from = 0, .first = 24, .count = 176});
}

TEST_CASE("a line that stays, as a status bar does, ends what moved", "[display]") {
  const std::vector<uint64_t> before = rows(200, 1);
  std::vector<uint64_t> after = before;
  std::copy(before.begin() + 16, before.begin() + 184, after.begin());
  REQUIRE(find_scroll(before, after) == Scroll{.from = 16, .first = 0, .count = 168});
}

TEST_CASE("what did not scroll is no scroll", "[display]") {
  const std::vector<uint64_t> before = rows(100, 1);
  REQUIRE_FALSE(find_scroll(before, before));
  REQUIRE_FALSE(find_scroll(before, rows(100, 1000)));
  REQUIRE_FALSE(find_scroll(std::vector<uint64_t>(100, 5), std::vector<uint64_t>(100, 6)));
  std::vector<uint64_t> few = before;
  std::rotate(few.begin(), few.begin() + 4, few.begin() + 20);
  REQUIRE_FALSE(find_scroll(before, few));
  REQUIRE_FALSE(find_scroll({}, {}));
}

}  // namespace vireo::display
