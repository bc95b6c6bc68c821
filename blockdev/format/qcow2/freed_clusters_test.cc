#include "blockdev/format/qcow2/freed_clusters.h"

#include <catch2/catch.hpp>

using namespace vireo::blk::qcow2;

namespace {

constexpr uint64_t kCluster = 4096;

using Offsets = std::vector<uint64_t>;

Offsets offsets(const std::vector<HostRange>& ranges) {
  Offsets list;
  for (const HostRange& range : ranges) list.push_back(range.offset);
  return list;
}

}  // namespace

TEST_CASE("freed clusters in a row are one range, parts of clusters are their own") {
  FreedClusters freed(kCluster);
  freed.add(kCluster, kCluster);
  freed.add(2 * kCluster, 2 * kCluster);
  freed.add(4 * kCluster, 100);
  freed.add(4 * kCluster + 100, 100);
  CHECK(freed.waiting() == 5);
  const auto ranges = freed.take();
  CHECK(offsets(ranges) == Offsets{kCluster, 4 * kCluster, 4 * kCluster + 100});
  CHECK(ranges[0].length == 3 * kCluster);
  CHECK(freed.take().empty());
}

TEST_CASE("sealed clusters go when nobody is left who may see them, in the order of offsets") {
  FreedClusters freed(kCluster);
  freed.add(9 * kCluster, kCluster);
  freed.seal(1, freed.take());
  freed.add(3 * kCluster, kCluster);
  freed.seal(1, freed.take());
  freed.add(5 * kCluster, kCluster);
  freed.seal(2, freed.take());
  CHECK(freed.has_sealed());
  CHECK(freed.take_unseen(1).empty());
  CHECK(offsets(freed.take_unseen(2)) == Offsets{3 * kCluster, 9 * kCluster});
  CHECK(offsets(freed.take_unseen(3)) == Offsets{5 * kCluster});
  CHECK_FALSE(freed.has_sealed());
}

TEST_CASE("what could not be unlinked or let go waits on") {
  FreedClusters freed(kCluster);
  freed.add(kCluster, 2 * kCluster);
  freed.put_back(freed.take());
  freed.seal(7, freed.take());
  freed.postpone(freed.take_unseen(8));
  CHECK(freed.waiting() == 2);
  const auto ranges = freed.take_unseen(1);
  CHECK(offsets(ranges) == Offsets{kCluster});
  freed.gone(ranges[0]);
  CHECK(freed.waiting() == 0);
}
