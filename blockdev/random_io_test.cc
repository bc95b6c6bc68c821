// Random requests against stacks of nodes, compared with an array of bytes.
#include "blockdev/testing/random_io.h"

#include <catch2/catch.hpp>

#include "blockdev/filter/fault.h"
#include "blockdev/filter/overlay.h"
#include "blockdev/format/raw.h"
#include "blockdev/open.h"
#include "blockdev/protocol/memory.h"
#include "blockdev/testing/checked_node.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

constexpr uint64_t kSize = 4 * 1024 * 1024;

std::unique_ptr<Node> memory(uint32_t block) {
  auto node = std::make_unique<MemoryNode>(kSize, block);
  return std::make_unique<CheckedNode>(std::move(node), true);
}

}  // namespace

TEST_CASE("a model knows what a byte may be") {
  Model model(8);
  REQUIRE_FALSE(model.settle(0, zeros(8)));
  model.set(2, pattern(2, 1));
  REQUIRE(model.settle(0, zeros(8)) == 2);
  model.maybe_set(2, zeros(2));
  REQUIRE_FALSE(model.settle(2, zeros(1)));            // one took the change,
  REQUIRE_FALSE(model.settle(3, {pattern(2, 1)[1]}));  // the other did not
  REQUIRE(model.settle(2, pattern(1, 1)) == 2);        // and that is settled now
  model.maybe_set(0, pattern(1, 2));
  model.maybe_set(0, {std::byte{2}});
  REQUIRE(model.may_be(0, std::byte{77}));
  model.resize(4);
  model.resize(8);
  REQUIRE_FALSE(model.settle(4, zeros(4)));
}

TEST_CASE("memory stands random requests") {
  TestHost host;
  const uint32_t block = GENERATE(1u, 512u, 4096u);
  auto disk = std::make_unique<Disk>("vda", std::make_unique<RawNode>(memory(block)));
  RandomIo io(host, std::move(disk), {.seed = block, .rounds = 100, .resize = true});
  io.run();
}

TEST_CASE("files stand random requests and reopening in every cache mode") {
  TestHost host;
  const TempDir dir;
  const CacheMode cache = GENERATE(CacheMode::writeback, CacheMode::none, CacheMode::writethrough,
                                   CacheMode::directsync);
  const Spec spec{.location = dir.file("disk.img", kSize), .cache = cache};
  const auto open = [&] { return host.wait(open_disk(host.host(), "vda", spec)); };
  RandomIo io(host, open(), {.seed = 5, .rounds = 60, .resize = true});
  io.on_reopen([&](std::unique_ptr<Disk> disk) {
    REQUIRE_FALSE(host.wait(disk->close()));
    disk.reset();
    return open();
  });
  io.run();
}

TEST_CASE("a throw-away layer stands random requests") {
  TestHost host;
  const uint32_t block = GENERATE(1u, 512u, 4096u);
  auto overlay = std::make_unique<OverlayNode>(memory(512), memory(block));
  auto disk = std::make_unique<Disk>("vda", std::move(overlay));
  RandomIo io(host, std::move(disk), {.seed = block, .rounds = 100, .resize = true});
  io.run();
}

// The faults come late, torn and in the middle of read-modify-write.
TEST_CASE("what fails changes only what it was to change") {
  TestHost host;
  const bool over_base = GENERATE(false, true);
  auto fault_node = std::make_unique<FaultNode>(host.loop, memory(4096));
  FaultNode& faults = *fault_node;
  std::unique_ptr<Node> graph = std::move(fault_node);
  if (over_base) graph = std::make_unique<OverlayNode>(memory(512), std::move(graph));
  auto disk = std::make_unique<Disk>("vda", std::move(graph));
  RandomIo io(host, std::move(disk), {.seed = 3, .rounds = 200, .may_fail = true});
  io.add_step(500, "fault", [&](RandomIo& self) {
    faults.clear();
    const auto error = self.random(2) == 0 ? std::errc::io_error : std::errc::no_space_on_device;
    faults.add({.skip = self.random(8),
                .hits = 1 + self.random(3),
                .error = std::make_error_code(error),
                .delay = std::chrono::nanoseconds(self.random(2)),
                .torn = self.random(2) == 0});
  });
  io.run();
  REQUIRE(faults.faults() > 20);
}
