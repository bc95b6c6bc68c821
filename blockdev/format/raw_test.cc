#include "blockdev/format/raw.h"

#include <catch2/catch.hpp>

#include "blockdev/protocol/memory.h"
#include "blockdev/testing/checked_node.h"
#include "blockdev/testing/node_contract.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using Catch::Matchers::Contains;

namespace {

std::unique_ptr<CheckedNode> memory(uint64_t size, uint32_t block = 512) {
  return std::make_unique<CheckedNode>(std::make_unique<MemoryNode>(size, block), true);
}

}  // namespace

TEST_CASE("a raw image keeps the node contract") {
  check_node_contract([](TestHost&) { return std::make_unique<RawNode>(memory(kContractSize)); });
}

TEST_CASE("a raw window keeps the node contract") {
  check_node_contract([](TestHost&) {
    return std::make_unique<RawNode>(memory(2 * kContractSize),
                                     RawWindow{.offset = 65536, .size = kContractSize});
  });
}

TEST_CASE("a raw window shows its part of what lies below and touches nothing else") {
  TestHost host;
  auto below = memory(65536);
  CheckedNode& image = *below;
  REQUIRE_FALSE(write_bytes(host, image, 0, pattern(65536, 1)));
  RawNode window(std::move(below), {.offset = 4096, .size = 8192});
  const auto all = pattern(65536, 1);
  REQUIRE(read_bytes(host, window, 0, 8192) ==
          std::vector<std::byte>(all.begin() + 4096, all.begin() + 4096 + 8192));
  REQUIRE_FALSE(write_bytes(host, window, 512, pattern(512, 2)));
  REQUIRE_FALSE(host.wait(window.zero(1024, 512, {})));
  REQUIRE(read_bytes(host, image, 4096 + 512, 512) == pattern(512, 2));
  REQUIRE(read_bytes(host, image, 4096 + 1024, 512) == zeros(512));
  REQUIRE(read_bytes(host, image, 0, 4096) ==
          std::vector<std::byte>(all.begin(), all.begin() + 4096));
  REQUIRE(host.wait(window.resize(4096)) == std::errc::not_supported);
}

TEST_CASE("a raw image keeps its size when the file below is longer") {
  TestHost host;
  auto below = memory(10000);
  CheckedNode& image = *below;
  RawNode raw(std::move(below));
  REQUIRE(raw.limits().size == 10000);
  REQUIRE_FALSE(write_bytes(host, image, 16384, pattern(512, 1)));
  REQUIRE(raw.limits().size == 10000);
}

TEST_CASE("a raw window that does not fit is refused") {
  REQUIRE_THROWS_WITH(RawNode(memory(65536), {.offset = 100, .size = 512}),
                      Contains("multiple of 512"));
  REQUIRE_THROWS_WITH(RawNode(memory(65536), {.offset = 65536, .size = 512}),
                      Contains("does not fit"));
  REQUIRE_THROWS_WITH(RawNode(memory(65536), {.offset = 512, .size = ~uint64_t{0}}),
                      Contains("does not fit"));
  REQUIRE_THROWS_WITH(RawNode(memory(65536), {.offset = uint64_t{1} << 63}),
                      Contains("does not fit"));
}
