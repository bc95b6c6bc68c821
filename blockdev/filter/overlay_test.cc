#include "blockdev/filter/overlay.h"

#include <catch2/catch.hpp>

#include "blockdev/filter/fault.h"
#include "blockdev/protocol/memory.h"
#include "blockdev/testing/checked_node.h"
#include "blockdev/testing/node_contract.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

std::unique_ptr<CheckedNode> memory(uint64_t size, uint32_t block) {
  return std::make_unique<CheckedNode>(std::make_unique<MemoryNode>(size, block), true);
}

// A base full of pattern 1 under an empty layer; block sizes as given.
struct Bench {
  explicit Bench(uint64_t size = 1048576, uint32_t base_block = 512, uint32_t upper_block = 512) {
    auto base_node = memory(size, base_block);
    base = base_node.get();
    content = pattern(size, 1);
    REQUIRE_FALSE(write_bytes(host, base->below(), 0, content));
    auto fault_node = std::make_unique<FaultNode>(host.loop, memory(size, upper_block));
    upper = fault_node.get();
    auto overlay = std::make_unique<OverlayNode>(std::move(base_node), std::move(fault_node));
    disk = std::make_unique<Disk>("vda", std::move(overlay));
  }
  ~Bench() { (void)host.wait(disk->close()); }

  void write(uint64_t offset, const std::vector<std::byte>& bytes) {
    REQUIRE_FALSE(write_bytes(host, *disk, offset, bytes));
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void check() { REQUIRE(read_bytes(host, *disk, 0, content.size()) == content); }
  void check_base_untouched() {
    REQUIRE(base->counts().writes + base->counts().zeroes + base->counts().discards == 0);
    REQUIRE(read_bytes(host, base->below(), 0, content.size()) == pattern(content.size(), 1));
  }

  TestHost host;
  CheckedNode* base = nullptr;
  FaultNode* upper = nullptr;
  std::unique_ptr<Disk> disk;
  std::vector<std::byte> content;
};

}  // namespace

TEST_CASE("a throw-away layer keeps the node contract") {
  const uint32_t base = GENERATE(1u, 512u, 4096u);
  const uint32_t upper = GENERATE(1u, 4096u);
  CAPTURE(base, upper);
  check_node_contract([&](TestHost&) {
    return std::make_unique<OverlayNode>(memory(kContractSize, base), memory(kContractSize, upper));
  });
}

TEST_CASE("a throw-away layer shows its base, takes all changes and leaves the base alone") {
  Bench bench;
  bench.check();
  bench.write(0, pattern(4096, 2));
  bench.write(65536, pattern(131072, 3));
  bench.write(300000, pattern(10, 4));    // inside one granule
  bench.write(400000, pattern(9000, 5));  // over three, two in part
  bench.write(1048576 - 7, pattern(7, 6));
  bench.check();
  REQUIRE_FALSE(bench.host.wait(bench.disk->zero(70000, 20000)));
  std::fill_n(bench.content.begin() + 70000, 20000, std::byte{0});
  REQUIRE_FALSE(bench.host.wait(bench.disk->zero(500000, 100000, {.may_unmap = true})));
  std::fill_n(bench.content.begin() + 500000, 100000, std::byte{0});
  bench.check();
  REQUIRE_FALSE(bench.host.wait(bench.disk->flush()));
  bench.check_base_untouched();
}

TEST_CASE("discarding in a throw-away layer gives zeros, not the base") {
  Bench bench;
  bench.write(8192, pattern(4096, 2));
  REQUIRE_FALSE(bench.host.wait(bench.disk->discard(4096, 3 * 4096)));
  REQUIRE(read_bytes(bench.host, *bench.disk, 4096, 3 * 4096) == zeros(3 * 4096));
  bench.check_base_untouched();
}

TEST_CASE("a throw-away layer works where the disk ends inside a granule") {
  const uint64_t size = 1048576 + 1536;
  Bench bench(size, 512, 512);
  bench.write(size - 512, pattern(512, 2));
  bench.check();
  REQUIRE_FALSE(bench.host.wait(bench.disk->resize(size + 65536)));
  REQUIRE(read_bytes(bench.host, *bench.disk, size, 65536) == zeros(65536));
  bench.check();
  bench.check_base_untouched();
}

TEST_CASE("what a throw-away layer was shrunk by does not come back from the base") {
  Bench bench;
  bench.write(524288, pattern(4096, 2));
  REQUIRE_FALSE(bench.host.wait(bench.disk->resize(100000)));
  REQUIRE_FALSE(bench.host.wait(bench.disk->resize(1048576)));
  std::fill(bench.content.begin() + 100000, bench.content.end(), std::byte{0});
  bench.check();
  bench.write(101000, pattern(10, 3));  // copies up the granule that the base shows only in part
  bench.check();
}

TEST_CASE("a write that fails in a throw-away layer leaves the base visible") {
  Bench bench;
  const std::error_code no_space = std::make_error_code(std::errc::no_space_on_device);
  bench.upper->add({.operation = FaultRule::Operation::write, .error = no_space, .torn = true});
  REQUIRE(write_bytes(bench.host, *bench.disk, 0, pattern(65536, 2)) == no_space);
  REQUIRE(write_bytes(bench.host, *bench.disk, 100, pattern(10, 2)) == no_space);
  bench.check();
  bench.upper->clear();
  // What the torn write left up there must not shine through.
  REQUIRE_FALSE(bench.host.wait(bench.disk->zero(0, 32768)));
  std::fill_n(bench.content.begin(), 32768, std::byte{0});
  bench.check();
}

TEST_CASE("a throw-away layer says which extents it holds itself") {
  Bench bench;
  bench.write(65536, pattern(4096, 2));
  const Extent below = bench.host.wait(bench.disk->extent(0, 1048576));
  REQUIRE_FALSE(below.allocated);
  REQUIRE(below.data);
  REQUIRE(below.length == 65536);
  const Extent above = bench.host.wait(bench.disk->extent(65536, 1048576 - 65536));
  REQUIRE(above.allocated);
  REQUIRE(above.length == 4096);
}

TEST_CASE("granules are remembered over the borders of pieces") {
  GranuleSet set;
  set.add(32760, 32780);
  set.add(1000000, 1000001);
  const auto run = [&](uint64_t first, uint64_t end) {
    const GranuleSet::Run found = set.run(first, end);
    return std::pair(found.present, found.end);
  };
  REQUIRE(run(0, 2000000) == std::pair(false, uint64_t{32760}));
  REQUIRE(run(32760, 2000000) == std::pair(true, uint64_t{32780}));
  REQUIRE(run(32770, 32775) == std::pair(true, uint64_t{32775}));
  REQUIRE(run(32780, 2000000) == std::pair(false, uint64_t{1000000}));
  REQUIRE(run(1000001, 2000000) == std::pair(false, uint64_t{2000000}));
  REQUIRE(run(uint64_t{1} << 50, (uint64_t{1} << 50) + 5) ==
          std::pair(false, (uint64_t{1} << 50) + 5));
}
