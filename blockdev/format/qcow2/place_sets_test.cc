#include "blockdev/format/qcow2/place_sets.h"

#include <random>
#include <set>

#include <catch2/catch.hpp>

using namespace vireo::blk::qcow2;

TEST_CASE("a set of clusters knows what lies in a range") {
  ClusterSet clusters;
  std::multiset<uint64_t> model;
  std::mt19937_64 random(1);
  clusters.assign({9, 3, 3});
  model = {3, 3, 9};
  for (int i = 0; i < 3000; ++i) {
    const uint64_t cluster = random() % 200;
    if (random() % 8 == 0) {
      clusters.insert(cluster);
      model.insert(cluster);
    } else if (random() % 7 == 0) {
      clusters.erase(cluster);
      if (const auto at = model.find(cluster); at != model.end()) model.erase(at);
    }
    const uint64_t first = random() % 210, end = first + random() % 12;
    const auto next = model.lower_bound(first);
    REQUIRE(clusters.any(first, end) == (next != model.end() && *next < end));
    REQUIRE(clusters.count(cluster) == model.count(cluster));
  }
}

TEST_CASE("a set of ranges knows what overlaps it") {
  RangeSet ranges;
  CHECK_FALSE(ranges.overlaps(0, 100));
  ranges.assign({{50, 10}, {10, 5}, {12, 10}, {70, 0}, {30, 1}, {31, 1}});
  std::vector<bool> there(100);
  for (const auto& [first, end] : {std::pair{50, 60}, {10, 22}, {30, 32}})
    for (int i = first; i < end; ++i) there[static_cast<size_t>(i)] = true;
  for (uint64_t offset = 0; offset < 90; ++offset) {
    for (uint64_t length = 1; length < 10; ++length) {
      bool any = false;
      for (uint64_t i = offset; i < offset + length; ++i) any = any || there[i];
      REQUIRE(ranges.overlaps(offset, length) == any);
    }
  }
}
