// What every node and every stack of nodes has to keep, whatever it is made of. Call from a
// TEST_CASE; each part gets a fresh node, used directly (within its limits) and through a Disk.
//
//   TEST_CASE("memory keeps the node contract") {
//     check_node_contract([](TestHost&) { return std::make_unique<MemoryNode>(kContractSize); });
//   }
#pragma once

#include <functional>
#include <memory>

#include "blockdev/node.h"
#include "blockdev/testing/fixtures.h"

namespace vireo::blk::testing {

// Makers give a writable node of this size that reads as zeros.
constexpr uint64_t kContractSize = 8 * 1024 * 1024;

using MakeNode = std::function<std::unique_ptr<Node>(TestHost&)>;

void check_node_contract(const MakeNode& make);

}  // namespace vireo::blk::testing
