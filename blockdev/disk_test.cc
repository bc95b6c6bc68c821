#include "blockdev/disk.h"

#include <deque>

#include <catch2/catch.hpp>

#include "blockdev/protocol/memory.h"
#include "blockdev/testing/checked_node.h"
#include "blockdev/testing/fixtures.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

// Memory whose requests wait until the test lets them go, one by one.
class GatedNode final : public Node {
 public:
  explicit GatedNode(uint64_t size, uint32_t block) : memory_(size, block) {}

  bool gated = false;
  bool read_only = false;
  std::deque<std::coroutine_handle<>> waiting;

  void release_one() {
    const auto handle = waiting.front();
    waiting.pop_front();
    handle.resume();
  }
  void release_all() {
    while (!waiting.empty()) release_one();
  }

  const Limits& limits() const noexcept override {
    limits_ = memory_.limits();
    limits_.read_only = read_only;
    return limits_;
  }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override {
    co_await gate();
    const std::error_code error = co_await memory_.read(offset, std::move(into));
    co_return error;
  }
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override {
    co_await gate();
    const std::error_code error = co_await memory_.write(offset, std::move(from), flags);
    co_return error;
  }
  Task<std::error_code> flush() override { return memory_.flush(); }
  Task<std::error_code> resize(uint64_t size) override {
    co_await gate();
    const std::error_code error = co_await memory_.resize(size);
    co_return error;
  }

 private:
  struct Gate {
    GatedNode& node;
    bool await_ready() const noexcept { return !node.gated; }
    void await_suspend(std::coroutine_handle<> handle) const { node.waiting.push_back(handle); }
    void await_resume() const noexcept {}
  };
  Gate gate() noexcept { return Gate{*this}; }

  MemoryNode memory_;
  mutable Limits limits_;
};

Task<void> keep(Task<std::error_code> task, std::optional<std::error_code>& result) {
  result = co_await task;
}

struct Bench {
  explicit Bench(uint32_t block = 512) {
    auto node = std::make_unique<GatedNode>(65536, block);
    gate = node.get();
    auto checked_node = std::make_unique<CheckedNode>(std::move(node));
    checked = checked_node.get();
    disk = std::make_unique<Disk>("vda", std::move(checked_node));
  }
  ~Bench() {
    gate->gated = false;
    gate->release_all();
    (void)host.wait(disk->close());
  }
  // Starts a request that the gate will hold up.
  std::optional<std::error_code>& start(Task<std::error_code> task) {
    std::optional<std::error_code>& result = results.emplace_back();
    scope.spawn(keep(std::move(task), result));
    return result;
  }
  Task<std::error_code> write(uint64_t offset, Buffer& from) {
    return disk->write(offset, from.vectors(0, from.size()));
  }

  TestHost host;
  GatedNode* gate = nullptr;
  CheckedNode* checked = nullptr;
  std::unique_ptr<Disk> disk;
  std::deque<std::optional<std::error_code>> results;
  Scope scope;
};

Buffer filled(size_t size, uint32_t seed) {
  Buffer buffer{size, 4096};
  const auto bytes = pattern(size, seed);
  std::copy(bytes.begin(), bytes.end(), buffer.data());
  return buffer;
}

}  // namespace

TEST_CASE("aligned requests reach the graph as they are") {
  Bench bench;
  REQUIRE_FALSE(write_bytes(bench.host, *bench.disk, 512, pattern(2048, 1)));
  REQUIRE(read_bytes(bench.host, *bench.disk, 512, 2048) == pattern(2048, 1));
  REQUIRE(bench.checked->counts().writes == 1);
  REQUIRE(bench.checked->counts().reads == 1);
}

TEST_CASE("an unaligned write reads only the blocks that it covers in part") {
  Bench bench;
  const auto reads_for = [&](uint64_t offset, size_t size) {
    const size_t before = bench.checked->counts().reads;
    REQUIRE_FALSE(write_bytes(bench.host, *bench.disk, offset, pattern(size, 1)));
    return bench.checked->counts().reads - before;
  };
  REQUIRE(reads_for(512, 512) == 0);
  REQUIRE(reads_for(512, 100) == 1);    // only the tail
  REQUIRE(reads_for(600, 424) == 1);    // only the head
  REQUIRE(reads_for(600, 10) == 1);     // both in one block
  REQUIRE(reads_for(600, 1000) == 2);   // two blocks, both in part
  REQUIRE(reads_for(600, 10000) == 2);  // those in the middle are not read
}

TEST_CASE("buffers that are not aligned are bounced without read-modify-write") {
  Bench bench;
  const Buffer buffer{4096, 4096};
  std::fill_n(buffer.data(), 4096, std::byte{7});
  REQUIRE_FALSE(bench.host.wait(bench.disk->write(1024, buffer.vectors(1, 1024))));
  IoVecs odd{{buffer.data() + 3, 100}, {buffer.data() + 200, 412}};
  REQUIRE_FALSE(bench.host.wait(bench.disk->write(4096, odd)));
  REQUIRE(bench.checked->counts().reads == 0);
  REQUIRE_FALSE(bench.host.wait(bench.disk->read(1024, buffer.vectors(1, 512))));
  REQUIRE(read_bytes(bench.host, *bench.disk, 1024, 1024) ==
          std::vector<std::byte>(1024, std::byte{7}));
}

TEST_CASE("large unaligned requests are bounced piece by piece") {
  TestHost host;
  constexpr size_t kSize = 5 * 1024 * 1024 + 12345;
  Disk disk("vda", std::make_unique<CheckedNode>(std::make_unique<MemoryNode>(2 * kSize, 4096)));
  REQUIRE_FALSE(write_bytes(host, disk, 1234567, pattern(kSize, 1)));
  REQUIRE(read_bytes(host, disk, 1234567, kSize) == pattern(kSize, 1));
  REQUIRE(read_bytes(host, disk, 1234500, 67) == zeros(67));
  REQUIRE(read_bytes(host, disk, 1234567 + kSize, 100) == zeros(100));
  REQUIRE_FALSE(host.wait(disk.close()));
}

// Without the range lock the write in the middle would be lost: the block was read before it and
// written after it.
TEST_CASE("read-modify-write and a whole write of the same block do not lose each other's bytes") {
  Bench bench;
  const bool whole_first = GENERATE(true, false);
  bench.gate->gated = true;
  Buffer part = filled(100, 1);
  Buffer whole = filled(512, 2);
  if (whole_first) bench.start(bench.write(512, whole));
  bench.start(bench.write(700, part));
  if (!whole_first) bench.start(bench.write(512, whole));
  REQUIRE(bench.gate->waiting.size() == 1);  // the other one has not even begun
  bench.gate->release_all();
  for (const auto& result : bench.results) REQUIRE(result == std::error_code{});
  bench.gate->gated = false;
  std::vector<std::byte> expected = pattern(512, 2);
  if (whole_first) std::copy_n(pattern(100, 1).begin(), 100, expected.begin() + 188);
  REQUIRE(read_bytes(bench.host, *bench.disk, 512, 512) == expected);
}

TEST_CASE("requests to other blocks go on beside a read-modify-write") {
  Bench bench;
  bench.gate->gated = true;
  Buffer part = filled(100, 1);
  Buffer other = filled(512, 2);
  bench.start(bench.write(700, part));
  bench.start(bench.write(1024, other));
  bench.start(bench.write(0, other));
  REQUIRE(bench.gate->waiting.size() == 3);
  bench.gate->release_all();
}

TEST_CASE("a size that is no multiple of the block can be used up to its last byte") {
  TestHost host;
  Disk disk("vda", std::make_unique<CheckedNode>(std::make_unique<MemoryNode>(10000, 4096)));
  REQUIRE_FALSE(write_bytes(host, disk, 9000, pattern(1000, 1)));
  REQUIRE(read_bytes(host, disk, 9000, 1000) == pattern(1000, 1));
  const Buffer buffer{4096, 4096};
  REQUIRE(host.wait(disk.close()) == std::error_code{});
}

TEST_CASE("a read-only disk refuses changes and can be flushed") {
  Bench bench;
  bench.gate->read_only = true;
  const std::error_code wanted = std::make_error_code(std::errc::read_only_file_system);
  REQUIRE(write_bytes(bench.host, *bench.disk, 0, pattern(512, 1)) == wanted);
  REQUIRE(bench.host.wait(bench.disk->zero(0, 512)) == wanted);
  REQUIRE(bench.host.wait(bench.disk->discard(0, 512)) == wanted);
  REQUIRE(bench.host.wait(bench.disk->resize(512)) == wanted);
  REQUIRE_FALSE(bench.host.wait(bench.disk->flush()));
  REQUIRE(bench.checked->counts().writes == 0);
}

TEST_CASE("a disk counts what it did") {
  Bench bench;
  REQUIRE_FALSE(write_bytes(bench.host, *bench.disk, 0, pattern(1000, 1)));
  REQUIRE(read_bytes(bench.host, *bench.disk, 0, 100).size() == 100);
  REQUIRE_FALSE(bench.host.wait(bench.disk->flush()));
  REQUIRE_FALSE(bench.host.wait(bench.disk->discard(0, 512)));
  REQUIRE_FALSE(bench.host.wait(bench.disk->zero(0, 512)));
  REQUIRE(bench.host.wait(bench.disk->zero(65536, 512)));
  const DiskCounters& counters = bench.disk->counters();
  REQUIRE(counters.writes == 1);
  REQUIRE(counters.bytes_written == 1000);
  REQUIRE(counters.reads == 1);
  REQUIRE(counters.bytes_read == 100);
  REQUIRE(counters.flushes == 1);
  REQUIRE(counters.discards == 1);
  REQUIRE(counters.zeroes == 1);
  REQUIRE(counters.errors == 1);
}

TEST_CASE("idle and close wait for what is in flight") {
  Bench bench;
  bench.gate->gated = true;
  Buffer buffer = filled(512, 1);
  const auto& first = bench.start(bench.write(0, buffer));
  const auto& second = bench.start(bench.write(512, buffer));
  const auto& closed = bench.start(bench.disk->close());
  REQUIRE(bench.disk->in_flight() == 2);
  bench.gate->release_one();
  REQUIRE(first.has_value());
  REQUIRE_FALSE(closed.has_value());
  bench.gate->release_one();
  REQUIRE(second == std::error_code{});
  REQUIRE(closed == std::error_code{});
  REQUIRE(bench.disk->in_flight() == 0);
  REQUIRE(bench.checked->counts().closes == 1);
  REQUIRE_FALSE(bench.host.wait(bench.disk->close()));
  REQUIRE(bench.checked->counts().closes == 1);
}

TEST_CASE("resize lets earlier requests end first and checks later ones against the new size") {
  Bench bench;
  bench.gate->gated = true;
  Buffer buffer = filled(512, 1);
  const auto& early = bench.start(bench.write(65024, buffer));
  const auto& resized = bench.start(bench.disk->resize(32768));
  const auto& late = bench.start(bench.write(65024, buffer));
  bench.gate->release_one();
  REQUIRE(early == std::error_code{});
  REQUIRE_FALSE(resized.has_value());
  bench.gate->release_all();
  REQUIRE(resized == std::error_code{});
  REQUIRE(late == std::errc::invalid_argument);
  REQUIRE(bench.disk->limits().size == 32768);
}

TEST_CASE("the memory of requests that are bounced is bounded") {
  Bench bench;
  bench.gate->gated = true;
  std::vector<std::byte> bytes(1000);
  for (uint64_t i = 0; i < 60; ++i)
    bench.start(bench.disk->read(1 + i * 1000, {{bytes.data(), bytes.size()}}));
  REQUIRE(bench.disk->in_flight() == 60);
  REQUIRE(bench.gate->waiting.size() == 16);
  while (!bench.gate->waiting.empty()) {
    bench.gate->release_one();
    REQUIRE(bench.gate->waiting.size() <= 16);
  }
  REQUIRE(bench.disk->in_flight() == 0);
  for (const auto& result : bench.results) CHECK(result == std::error_code{});
}
