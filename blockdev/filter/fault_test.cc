#include "blockdev/filter/fault.h"

#include <catch2/catch.hpp>

#include "blockdev/protocol/memory.h"
#include "blockdev/testing/node_contract.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using Operation = FaultRule::Operation;

namespace {

const std::error_code kIoError = std::make_error_code(std::errc::io_error);
const std::error_code kNoSpace = std::make_error_code(std::errc::no_space_on_device);

std::unique_ptr<Node> memory() {
  return std::make_unique<MemoryNode>(kContractSize, 512);
}

Task<void> all_of(Scope& requests) {
  co_await requests.join();
}

Task<void> write_block(Node& node, bool& done) {
  const Buffer buffer{512, 512};
  IoVecs from = buffer.vectors(0, 512);
  const WriteFlags flags;
  const std::error_code error = co_await node.write(0, std::move(from), flags);
  done = !error;
}

Task<void> flush(Node& node) {
  [[maybe_unused]] const std::error_code error = co_await node.flush();
}

}  // namespace

TEST_CASE("a fault filter without rules keeps the node contract") {
  check_node_contract(
      [](TestHost& host) { return std::make_unique<FaultNode>(host.loop, memory()); });
}

TEST_CASE("a fault filter with delays keeps the node contract") {
  check_node_contract([](TestHost& host) {
    std::vector<FaultRule> rules(1);
    rules[0].operation = Operation::read;
    rules[0].delay = std::chrono::nanoseconds(1);
    return std::make_unique<FaultNode>(host.loop, memory(), rules);
  });
}

TEST_CASE("a fault filter with larger blocks keeps the node contract and follows the size") {
  const auto make = [](TestHost& host) {
    return std::make_unique<FaultNode>(host.loop, memory(), std::vector<FaultRule>{},
                                       FaultLimits{.block = 4096});
  };
  check_node_contract(make);
  TestHost host;
  const auto node = make(host);
  REQUIRE(node->limits().block == 4096);
  REQUIRE_FALSE(host.wait(node->resize(kContractSize * 2)));
  REQUIRE(node->limits().size == kContractSize * 2);
}

TEST_CASE("only whole units are zeroed where the limits say so") {
  check_node_contract([](TestHost& host) {
    const FaultLimits limits{.zero_unit = 3 * 512, .zero_length = 7 * 512};
    return std::make_unique<FaultNode>(host.loop, memory(), std::vector<FaultRule>{}, limits);
  });
  TestHost host;
  std::vector<FaultRule> rules(1);
  rules[0].operation = Operation::zero;
  rules[0].error = kIoError;
  auto below = std::make_unique<FaultNode>(host.loop, memory(), rules);
  FaultNode& seen = *below;
  FaultNode node(host.loop, std::move(below), {}, {.zero_unit = 3 * 512, .zero_length = 3 * 512});
  const auto zero = [&](uint64_t first, uint64_t blocks) {
    return host.wait(node.zero(first * 512, blocks * 512, {}));
  };
  CHECK_FALSE(zero(1, 2));
  CHECK_FALSE(zero(1, 4));
  CHECK_FALSE(zero(3, 2));
  CHECK(seen.faults() == 0);
  CHECK(zero(1, 5) == kIoError);
  CHECK(seen.faults() == 1);
  seen.clear();
  CHECK_FALSE(zero(1, 9));
}

TEST_CASE("faults hit the operation, the range and the count they are meant for") {
  TestHost host;
  FaultNode node(host.loop, memory());
  node.add({.operation = Operation::write,
            .offset = 4096,
            .length = 4096,
            .skip = 1,
            .hits = 2,
            .error = kNoSpace});
  const auto write = [&](uint64_t offset, size_t size) {
    return write_bytes(host, node, offset, pattern(size, 1));
  };
  REQUIRE_FALSE(write(0, 4096));                                  // ends before the range
  REQUIRE_FALSE(write(8192, 4096));                               // begins after it
  REQUIRE_FALSE(write(4096, 512));                                // skipped
  REQUIRE(read_bytes(host, node, 4096, 512) == pattern(512, 1));  // another operation
  REQUIRE(write(0, 8192) == kNoSpace);
  REQUIRE(write(7680, 512) == kNoSpace);
  REQUIRE_FALSE(write(4096, 4096));  // used up
  REQUIRE(node.faults() == 2);
}

TEST_CASE("every kind of request can be made to fail") {
  TestHost host;
  FaultNode node(host.loop, memory());
  node.add({.error = kIoError});
  const Buffer buffer{512, 512};
  REQUIRE(host.wait(node.read(0, buffer.vectors(0, 512))) == kIoError);
  REQUIRE(host.wait(node.write(0, buffer.vectors(0, 512), {})) == kIoError);
  REQUIRE(host.wait(node.flush()) == kIoError);
  REQUIRE(host.wait(node.discard(0, 512)) == kIoError);
  REQUIRE(host.wait(node.zero(0, 512, {})) == kIoError);
  REQUIRE(host.wait(node.resize(512)) == kIoError);
  node.clear();
  REQUIRE_FALSE(host.wait(node.flush()));
}

TEST_CASE("a torn write has written its first half") {
  TestHost host;
  FaultNode node(host.loop, memory());
  node.add({.operation = Operation::write, .hits = 1, .error = kIoError, .torn = true});
  REQUIRE(write_bytes(host, node, 0, pattern(4096, 1)) == kIoError);
  std::vector<std::byte> expected = pattern(4096, 1);
  std::fill(expected.begin() + 2048, expected.end(), std::byte{0});
  REQUIRE(read_bytes(host, node, 0, 4096) == expected);
}

TEST_CASE("a fault of an event sleeps until the work comes to it, in the state that it is for") {
  TestHost host;
  FaultNode node(host.loop, memory());
  node.add({.hits = 1, .error = kIoError, .event = DebugEvent::l2_load, .state = 2});
  node.add({.event = DebugEvent::write_aio, .new_state = 2});
  const auto write = [&] { return write_bytes(host, node, 0, pattern(512, 1)); };
  REQUIRE_FALSE(write());
  host.wait(node.at(DebugEvent::l2_load));  // in another state
  REQUIRE_FALSE(write());
  host.wait(node.at(DebugEvent::write_aio));
  REQUIRE_FALSE(write());
  host.wait(node.at(DebugEvent::l2_load));
  REQUIRE(write() == kIoError);
  REQUIRE_FALSE(write());
}

TEST_CASE("a request stops where it is to stop, once, and goes on when it may") {
  TestHost host;
  FaultNode node(host.loop, memory());
  int told = 0;
  node.stop_at(DebugEvent::pwritev, "A", [&told] { ++told; });
  Scope requests;
  bool done = false;
  requests.spawn(write_block(node, done));
  CHECK(told == 1);
  CHECK(node.is_stopped("A"));
  CHECK_FALSE(node.is_stopped("B"));
  CHECK_FALSE(done);
  REQUIRE_FALSE(write_bytes(host, node, 512, pattern(512, 1)));  // the next one does not
  node.go_on("A");
  host.wait(all_of(requests));
  CHECK(done);
  CHECK_FALSE(node.is_stopped("A"));
}

TEST_CASE("nothing stays stopped when all may go on") {
  TestHost host;
  FaultNode node(host.loop, memory());
  node.stop_at(DebugEvent::flush_to_disk, "A", {});
  node.stop_at(DebugEvent::pwritev, "never", {});
  Scope requests;
  requests.spawn(flush(node));
  CHECK(node.is_stopped("A"));
  node.go_on();
  host.wait(all_of(requests));
  REQUIRE_FALSE(write_bytes(host, node, 0, pattern(512, 1)));
}
