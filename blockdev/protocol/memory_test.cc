#include "blockdev/protocol/memory.h"

#include <catch2/catch.hpp>

#include "blockdev/testing/node_contract.h"

using namespace vireo::blk;
using namespace vireo::blk::testing;

TEST_CASE("a disk in memory keeps the node contract") {
  const uint32_t block = GENERATE(1u, 512u, 4096u);
  CAPTURE(block);
  check_node_contract(
      [block](TestHost&) { return std::make_unique<MemoryNode>(kContractSize, block); });
}

TEST_CASE("a disk in memory grows by what is written beyond its end") {
  TestHost host;
  MemoryNode node(10000);
  REQUIRE(read_bytes(host, node, 9000, 100000) == zeros(100000));
  REQUIRE(node.limits().size == 10000);
  REQUIRE_FALSE(write_bytes(host, node, 100000, pattern(5000, 1)));
  REQUIRE(node.limits().size == 105000);
  REQUIRE(read_bytes(host, node, 100000, 5000) == pattern(5000, 1));
  REQUIRE_FALSE(host.wait(node.zero(200000, 4096, {})));
  REQUIRE(node.limits().size == 204096);
}

TEST_CASE("a disk in memory forgets what it shrinks away") {
  TestHost host;
  MemoryNode node(65536);
  REQUIRE_FALSE(write_bytes(host, node, 0, pattern(65536, 1)));
  REQUIRE_FALSE(host.wait(node.resize(5000)));
  REQUIRE_FALSE(host.wait(node.resize(65536)));
  REQUIRE(read_bytes(host, node, 5000, 60536) == zeros(60536));
}

TEST_CASE("a disk in memory of absurd size is refused, not attempted") {
  REQUIRE_THROWS_AS(MemoryNode(uint64_t{1} << 62), std::system_error);
  TestHost host;
  MemoryNode node(4096);
  REQUIRE(host.wait(node.resize(uint64_t{1} << 62)) == std::errc::not_enough_memory);
  REQUIRE(node.limits().size == 4096);
}

TEST_CASE("a disk in memory tells data from zeros by page") {
  TestHost host;
  MemoryNode node(16 * 4096);
  REQUIRE_FALSE(write_bytes(host, node, 4 * 4096, pattern(8192, 1)));
  const Extent before = host.wait(node.extent(0, 16 * 4096));
  REQUIRE(before.zero);
  REQUIRE(before.length == 4 * 4096);
  const Extent data = host.wait(node.extent(4 * 4096, 12 * 4096));
  REQUIRE(data.data);
  REQUIRE(data.length == 8192);
}
