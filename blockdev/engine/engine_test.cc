#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include <catch2/catch.hpp>

#include "blockdev/engine/aio.h"
#include "blockdev/engine/threads.h"
#include "blockdev/testing/fixtures.h"
#include "vmm/base/fd.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kBlocks = 64;

Task<void> run_one(IoEngine& engine, IoOp op, int64_t& result) {
  result = co_await engine.run(op);
}

// A file of kBlocks blocks, each of its own pattern; O_DIRECT where the file system has it.
struct Bench {
  Bench() {
    for (uint32_t i = 0; i < kBlocks; ++i) {
      const auto bytes = pattern(kBlock, i);
      const auto offset = static_cast<off_t>(i * kBlock);
      REQUIRE(::pwrite(buffered.get(), bytes.data(), kBlock, offset) == kBlock);
    }
    REQUIRE(::fsync(buffered.get()) == 0);
    if (!direct) direct = UniqueFd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  }
  bool block_is(const std::byte* bytes, uint32_t seed) const {
    const auto expected = pattern(kBlock, seed);
    return std::equal(expected.begin(), expected.end(), bytes);
  }

  TempDir dir;
  TestHost host;
  std::string path = dir.file("disk", kBlock* kBlocks);
  UniqueFd buffered{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  UniqueFd direct{::open(path.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT)};
};

using MakeEngine = std::function<std::unique_ptr<IoEngine>(TestHost&)>;

std::unique_ptr<IoEngine> make_threads(TestHost& host) {
  return std::make_unique<ThreadEngine>(host.loop, host.pool);
}
std::unique_ptr<IoEngine> make_direct_threads(TestHost& host) {
  return std::make_unique<ThreadEngine>(host.loop, host.pool, ThreadEngine::Files::direct);
}
std::unique_ptr<IoEngine> make_memory_threads(TestHost& host) {
  return std::make_unique<ThreadEngine>(host.loop, host.pool, ThreadEngine::Files::memory);
}
std::unique_ptr<IoEngine> make_aio(TestHost& host) {
  return std::make_unique<AioEngine>(host.loop, host.pool);
}
std::unique_ptr<IoEngine> make_shallow_aio(TestHost& host) {
  return std::make_unique<AioEngine>(host.loop, host.pool, 3);
}

Task<void> join(Scope& scope) {
  co_await scope.join();
}

void reads_everything_at_once(Bench& bench, IoEngine& engine, int fd) {
  const Buffer buffer{kBlock * kBlocks, kBlock};
  IoVecs vectors(kBlocks);
  std::vector<int64_t> results(kBlocks, -1);
  Scope scope;
  for (size_t i = 0; i < kBlocks; ++i) {
    vectors[i] = {buffer.data() + i * kBlock, kBlock};
    const IoOp op{
        .kind = IoOp::Kind::read, .fd = fd, .offset = i * kBlock, .vectors = {&vectors[i], 1}};
    scope.spawn(run_one(engine, op, results[i]));
    REQUIRE(results[i] == -1);  // never inside submit()
  }
  bench.host.wait(join(scope));
  for (uint32_t i = 0; i < kBlocks; ++i) {
    REQUIRE(results[i] == kBlock);
    REQUIRE(bench.block_is(buffer.data() + i * kBlock, i));
  }
}

int64_t run(Bench& bench, IoEngine& engine, IoOp op) {
  int64_t result = -1;
  bench.host.wait(run_one(engine, op, result));
  return result;
}

}  // namespace

TEST_CASE("engines move what they are asked to, whatever their depth") {
  Bench bench;
  const MakeEngine make =
      GENERATE(make_threads, make_memory_threads, make_direct_threads, make_aio, make_shallow_aio);
  const std::unique_ptr<IoEngine> engine = make(bench.host);
  reads_everything_at_once(bench, *engine, bench.direct.get());
  reads_everything_at_once(bench, *engine, bench.buffered.get());
}

TEST_CASE("engines write, also durably, and synchronise") {
  Bench bench;
  const MakeEngine make =
      GENERATE(make_threads, make_memory_threads, make_direct_threads, make_aio);
  const std::unique_ptr<IoEngine> engine = make(bench.host);
  const bool durable = GENERATE(false, true);
  const Buffer buffer{2 * kBlock, kBlock};
  std::copy_n(pattern(2 * kBlock, 77).data(), 2 * kBlock, buffer.data());
  const IoVecs vectors{{buffer.data(), kBlock}, {buffer.data() + kBlock, kBlock}};
  const IoOp write{.kind = IoOp::Kind::write,
                   .fd = bench.direct.get(),
                   .offset = 5 * kBlock,
                   .vectors = vectors,
                   .durable = durable};
  REQUIRE(run(bench, *engine, write) == 2 * kBlock);
  const IoOp sync{
      .kind = IoOp::Kind::fdatasync, .fd = bench.direct.get(), .offset = 0, .vectors = {}};
  REQUIRE(run(bench, *engine, sync) == 0);
  const auto content = file_content(bench.path);
  REQUIRE(std::equal(buffer.data(), buffer.data() + 2 * kBlock,
                     content.begin() + static_cast<std::ptrdiff_t>(5 * kBlock)));
}

// More of them than are resumed together, and more while those are under way.
TEST_CASE("writes into the page cache take place in the order they were asked for") {
  Bench bench;
  const std::unique_ptr<IoEngine> engine = make_threads(bench.host);
  const Buffer buffer{kBlock * kBlocks, kBlock};
  IoVecs vectors(kBlocks);
  std::vector<int64_t> results(kBlocks, -1);
  Scope scope;
  for (uint32_t i = 0; i < kBlocks; ++i) {
    vectors[i] = {buffer.data() + i * kBlock, kBlock};
    std::copy_n(pattern(kBlock, 100 + i).data(), kBlock, buffer.data() + i * kBlock);
    const IoOp write{.kind = IoOp::Kind::write,
                     .fd = bench.buffered.get(),
                     .offset = 3 * kBlock,
                     .vectors = {&vectors[i], 1}};
    scope.spawn(run_one(*engine, write, results[i]));
    if (i % 10 == 0) bench.host.loop.step();
  }
  bench.host.wait(join(scope));
  REQUIRE(results == std::vector<int64_t>(kBlocks, kBlock));
  const auto content = file_content(bench.path);
  REQUIRE(bench.block_is(content.data() + 3 * kBlock, 100 + kBlocks - 1));
}

Task<void> write_blocks(IoEngine& engine, int fd, size_t block, std::span<const iovec> vectors,
                        int64_t& result) {
  const IoOp write{
      .kind = IoOp::Kind::write, .fd = fd, .offset = block * kBlock, .vectors = vectors};
  return run_one(engine, write, result);
}

// Neighbours go in one call; the one in their middle that fails, and the one that falls short, do
// so alone.
TEST_CASE("writes that adjoin each have their own result") {
  Bench bench;
  const std::unique_ptr<IoEngine> engine = make_threads(bench.host);
  const Buffer buffer{kBlock * kBlocks, kBlock};
  std::copy_n(pattern(kBlock * kBlocks, 500).data(), kBlock * kBlocks, buffer.data());
  IoVecs vectors(kBlocks);
  std::vector<int64_t> results(kBlocks, -1);
  Scope scope;
  for (size_t i = 0; i < kBlocks; ++i) {
    vectors[i] = {buffer.data() + i * kBlock, i == 20 ? kBlock / 2 : kBlock};
    if (i == 40) vectors[i].iov_base = nullptr;  // EFAULT, of which the ones around know nothing
    const int fd = i == 30 ? 1000000 : bench.buffered.get();
    scope.spawn(write_blocks(*engine, fd, i, {&vectors[i], 1}, results[i]));
  }
  bench.host.wait(join(scope));
  const auto content = file_content(bench.path);
  for (size_t i = 0; i < kBlocks; ++i) {
    INFO(i);
    const size_t written = i == 30 || i == 40 ? 0 : vectors[i].iov_len;
    CHECK(results[i] == (i == 30 ? -EBADF : i == 40 ? -EFAULT : static_cast<int64_t>(written)));
    CHECK(std::equal(buffer.data() + i * kBlock, buffer.data() + i * kBlock + written,
                     content.data() + i * kBlock));
  }
}

TEST_CASE("engines say 0 at the end of a file and -errno for what fails") {
  Bench bench;
  const MakeEngine make =
      GENERATE(make_threads, make_memory_threads, make_direct_threads, make_aio);
  const std::unique_ptr<IoEngine> engine = make(bench.host);
  const Buffer buffer{kBlock, kBlock};
  const IoVecs vectors{{buffer.data(), kBlock}};
  IoOp op{.kind = IoOp::Kind::read,
          .fd = bench.direct.get(),
          .offset = kBlock * kBlocks,
          .vectors = vectors};
  REQUIRE(run(bench, *engine, op) == 0);
  op.fd = 1000000;
  REQUIRE(run(bench, *engine, op) == -EBADF);
  op.fd = bench.direct.get();
  op.offset = uint64_t{1} << 63;
  REQUIRE(run(bench, *engine, op) == -EINVAL);
}

// The refused one stands in the middle of a batch.
TEST_CASE("an operation that the kernel refuses does not stop those around it") {
  Bench bench;
  const std::unique_ptr<IoEngine> engine = make_aio(bench.host);
  const Buffer buffer{3 * kBlock, kBlock};
  IoVecs vectors;
  for (size_t i = 0; i < 3; ++i) vectors.push_back({buffer.data() + i * kBlock, kBlock});
  std::vector<int64_t> results(3, -1);
  Scope scope;
  for (size_t i = 0; i < 3; ++i) {
    const IoOp op{.kind = IoOp::Kind::read,
                  .fd = i == 1 ? 1000000 : bench.direct.get(),
                  .offset = i * kBlock,
                  .vectors = {&vectors[i], 1}};
    scope.spawn(run_one(*engine, op, results[i]));
  }
  bench.host.wait(join(scope));
  REQUIRE(results == std::vector<int64_t>{kBlock, -EBADF, kBlock});
}

// Pipes have no fdatasync at all: the asynchronous way, then the pool say so.
TEST_CASE("synchronising what cannot be synchronised is an error, not a hang") {
  Bench bench;
  const std::unique_ptr<IoEngine> engine = make_aio(bench.host);
  int ends[2] = {-1, -1};
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const UniqueFd read_end{ends[0]};
  const UniqueFd write_end{ends[1]};
  const IoOp sync{.kind = IoOp::Kind::fdatasync, .fd = ends[1], .offset = 0, .vectors = {}};
  REQUIRE(run(bench, *engine, sync) == -EINVAL);
  const IoOp real{
      .kind = IoOp::Kind::fdatasync, .fd = bench.direct.get(), .offset = 0, .vectors = {}};
  REQUIRE(run(bench, *engine, real) == 0);
}
