#include "blockdev/testing/node_contract.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <random>

#include <catch2/catch.hpp>

#include "blockdev/disk.h"
#include "blockdev/testing/checked_node.h"

namespace vireo::blk::testing {

namespace {

using Bytes = std::vector<std::byte>;

// A disk over the node, with a check of what the disk lets through.
struct Bench {
  explicit Bench(const MakeNode& make) {
    auto node = std::make_unique<CheckedNode>(make(host));
    checked = node.get();
    disk = std::make_unique<Disk>("contract", std::move(node));
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    if (disk) (void)host.wait(disk->close());
  }
  Bytes read(uint64_t offset, size_t size) { return read_bytes(host, *disk, offset, size); }
  void write(uint64_t offset, const Bytes& bytes) {
    REQUIRE_FALSE(write_bytes(host, *disk, offset, bytes));
  }

  TestHost host;
  CheckedNode* checked = nullptr;
  std::unique_ptr<Disk> disk;
};

void limits_are_sane(Bench& bench) {
  const Limits& limits = bench.disk->limits();
  REQUIRE(limits.size == kContractSize);
  REQUIRE(std::has_single_bit(limits.block));
  REQUIRE(limits.block <= 4096);
  REQUIRE(std::has_single_bit(limits.buffer_alignment));
  REQUIRE(limits.optimal_block >= limits.block);
  REQUIRE_FALSE(limits.read_only);
}

void fresh_reads_zeros(Bench& bench) {
  for (const uint64_t offset : {uint64_t{0}, kContractSize / 2, kContractSize - 65536})
    REQUIRE(bench.read(offset, 65536) == zeros(65536));
}

void reads_back(Bench& bench) {
  for (const size_t size : {512u, 4096u, 65536u, 1048576u, 1052672u}) {
    CAPTURE(size);
    const uint64_t offset = 3 * 65536 + 4096;
    const Bytes bytes = pattern(size, static_cast<uint32_t>(size));
    bench.write(offset - 4096, pattern(size + 8192, 7));
    bench.write(offset, bytes);
    REQUIRE(bench.read(offset, size) == bytes);
    const Bytes around = pattern(size + 8192, 7);
    REQUIRE(bench.read(offset - 4096, 4096) == Bytes(around.begin(), around.begin() + 4096));
    REQUIRE(bench.read(offset + size, 4096) == Bytes(around.end() - 4096, around.end()));
  }
}

void reads_back_unaligned(Bench& bench) {
  bench.write(0, pattern(65536, 1));
  Bytes expected = pattern(65536, 1);
  for (const auto& [offset, size] : std::initializer_list<std::pair<size_t, size_t>>{
           {1, 1}, {511, 2}, {4095, 4098}, {12345, 777}, {8192, 5000}, {33000, 3768}}) {
    CAPTURE(offset, size);
    const Bytes bytes = pattern(size, static_cast<uint32_t>(offset));
    std::copy(bytes.begin(), bytes.end(), expected.begin() + static_cast<std::ptrdiff_t>(offset));
    bench.write(offset, bytes);
    REQUIRE(bench.read(0, 65536) == expected);
    REQUIRE(bench.read(offset, size) == bytes);
  }
}

void reaches_the_last_byte(Bench& bench) {
  bench.write(kContractSize - 4096, pattern(4096, 5));
  bench.write(kContractSize - 1, pattern(1, 6));
  Bytes expected = pattern(4096, 5);
  expected.back() = pattern(1, 6).front();
  REQUIRE(bench.read(kContractSize - 4096, 4096) == expected);
  REQUIRE(bench.disk->limits().size == kContractSize);
}

// More buffers than one system call takes (IOV_MAX is 1024), of uneven sizes.
void takes_many_buffers(Bench& bench) {
  const size_t unit = std::max<size_t>(bench.disk->limits().buffer_alignment, 512);
  const size_t count = 1500;
  const Buffer from{count * unit, 4096};
  const Bytes bytes = pattern(count * unit, 11);
  std::copy(bytes.begin(), bytes.end(), from.data());
  IoVecs vectors;
  for (size_t i = 0; i < count; ++i) vectors.push_back({from.data() + i * unit, unit});
  vectors.insert(vectors.begin() + 3, iovec{from.data(), 0});
  REQUIRE_FALSE(bench.host.wait(bench.disk->write(65536, vectors)));
  REQUIRE(bench.read(65536, bytes.size()) == bytes);
  std::fill(from.bytes().begin(), from.bytes().end(), std::byte{0});
  REQUIRE_FALSE(bench.host.wait(bench.disk->read(65536, vectors)));
  REQUIRE(std::equal(bytes.begin(), bytes.end(), from.data()));
}

void zeroes(Bench& bench) {
  for (const bool may_unmap : {false, true}) {
    CAPTURE(may_unmap);
    Bytes expected = pattern(1048576, 3);
    bench.write(0, expected);
    for (const auto& [offset, size] : std::initializer_list<std::pair<size_t, size_t>>{
             {65536, 131072}, {4096, 4096}, {300000, 100}, {400000, 70000}, {1048000, 576}}) {
      CAPTURE(offset, size);
      REQUIRE_FALSE(bench.host.wait(bench.disk->zero(offset, size, {.may_unmap = may_unmap})));
      std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(offset), size, std::byte{0});
      REQUIRE(bench.read(0, 1048576) == expected);
    }
  }
}

void discards(Bench& bench) {
  const Bytes before = pattern(1048576, 4);
  bench.write(0, before);
  constexpr size_t kFirst = 65536 + 100;
  constexpr size_t kLast = 3 * 65536 + 1000;
  REQUIRE_FALSE(bench.host.wait(bench.disk->discard(kFirst, kLast - kFirst)));
  const Bytes after = bench.read(0, before.size());
  size_t wrong = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    const bool inside = i >= kFirst && i < kLast;
    if (after[i] != before[i] && !(inside && after[i] == std::byte{0})) ++wrong;
  }
  REQUIRE(wrong == 0);
  bench.write(65536, pattern(65536, 9));
  REQUIRE(bench.read(65536, 65536) == pattern(65536, 9));
}

// Extents cover everything, make progress, and never call data zeros.
void extents_are_true(Bench& bench) {
  bench.write(1048576, pattern(65536, 2));
  bench.write(3 * 1048576 + 4096, pattern(4096, 2));
  for (uint64_t at = 0; at < kContractSize;) {
    const Extent found = bench.host.wait(bench.disk->extent(at, kContractSize - at));
    REQUIRE(found.length > 0);
    REQUIRE(found.length <= kContractSize - at);
    REQUIRE(found.data != found.zero);
    if (found.zero) REQUIRE(bench.read(at, found.length) == zeros(found.length));
    at += found.length;
  }
  const Extent part = bench.host.wait(bench.disk->extent(1048576 + 100, 1000));
  REQUIRE(part.data);
  REQUIRE(part.length <= 1000);
  REQUIRE(bench.host.wait(bench.disk->extent(kContractSize, 0)).length == 0);
  REQUIRE(bench.host.wait(bench.disk->extent(kContractSize, 1)).length == 0);
}

Task<void> write_one(Disk& disk, uint64_t offset, Buffer& buffer, size_t length, size_t& failed) {
  IoVecs from = buffer.vectors(0, length);
  const std::error_code error = co_await disk.write(offset, std::move(from));
  if (error) ++failed;
}

Task<void> read_one(Disk& disk, uint64_t offset, Buffer& buffer, size_t length, size_t& failed) {
  IoVecs into = buffer.vectors(0, length);
  const std::error_code error = co_await disk.read(offset, std::move(into));
  if (error) ++failed;
}

Task<void> join(Scope& scope) {
  co_await scope.join();
}

// Neighbours that share blocks, all at once: nobody loses bytes of the others.
void serves_concurrently(Bench& bench) {
  constexpr size_t kCount = 200;
  constexpr size_t kLength = 1000;
  std::vector<Buffer> buffers;
  Bytes expected;
  for (uint32_t i = 0; i < kCount; ++i) {
    const Bytes bytes = pattern(kLength, 100 + i);
    expected.insert(expected.end(), bytes.begin(), bytes.end());
    std::copy(bytes.begin(), bytes.end(), buffers.emplace_back(kLength, 4096).data());
  }
  std::vector<size_t> order(kCount);
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937{1});
  size_t failed = 0;
  Scope scope;
  for (const size_t i : order)
    scope.spawn(write_one(*bench.disk, 4000 + i * kLength, buffers[i], kLength, failed));
  bench.host.wait(join(scope));
  REQUIRE(failed == 0);
  REQUIRE(bench.disk->in_flight() == 0);
  REQUIRE(bench.read(4000, expected.size()) == expected);
  for (Buffer& buffer : buffers) std::fill_n(buffer.data(), kLength, std::byte{0});
  for (const size_t i : order)
    scope.spawn(read_one(*bench.disk, 4000 + i * kLength, buffers[i], kLength, failed));
  bench.host.wait(join(scope));
  REQUIRE(failed == 0);
  for (size_t i = 0; i < kCount; ++i)
    REQUIRE(std::equal(buffers[i].data(), buffers[i].data() + kLength,
                       expected.begin() + static_cast<std::ptrdiff_t>(i * kLength)));
}

void refuses_what_lies_outside(Bench& bench) {
  const auto before = bench.checked->counts();
  const Buffer buffer{8192, 4096};
  const std::error_code wanted = std::make_error_code(std::errc::invalid_argument);
  for (const uint64_t offset : {kContractSize, kContractSize - 4096, kContractSize + 4096,
                                ~uint64_t{0} - 4095, ~uint64_t{0}, uint64_t{1} << 63}) {
    CAPTURE(offset);
    REQUIRE(bench.host.wait(bench.disk->read(offset, buffer.vectors(0, 8192))) == wanted);
    REQUIRE(bench.host.wait(bench.disk->write(offset, buffer.vectors(0, 8192))) == wanted);
    REQUIRE(bench.host.wait(bench.disk->discard(offset, 8192)) == wanted);
    REQUIRE(bench.host.wait(bench.disk->zero(offset, 8192)) == wanted);
    REQUIRE(bench.host.wait(bench.disk->discard(offset, ~uint64_t{0})) == wanted);
    REQUIRE(bench.host.wait(bench.disk->zero(4096, ~uint64_t{0} - 4095)) == wanted);
  }
  const auto& after = bench.checked->counts();
  REQUIRE(after.reads == before.reads);
  REQUIRE(after.writes == before.writes);
  REQUIRE(after.discards == before.discards);
  REQUIRE(after.zeroes == before.zeroes);
  REQUIRE_FALSE(bench.host.wait(bench.disk->read(kContractSize, IoVecs{})));
}

void flushes_and_closes(Bench& bench) {
  bench.write(0, pattern(4096, 1));
  REQUIRE_FALSE(write_bytes(bench.host, *bench.disk, 4096, pattern(4096, 2), {.fua = true}));
  REQUIRE_FALSE(bench.host.wait(bench.disk->flush()));
  REQUIRE_FALSE(bench.host.wait(bench.disk->flush()));
  REQUIRE(bench.read(4096, 4096) == pattern(4096, 2));
  REQUIRE_FALSE(bench.host.wait(bench.disk->close()));
  REQUIRE(bench.checked->counts().closes == 1);
  const Buffer buffer{4096, 4096};
  REQUIRE(bench.host.wait(bench.disk->read(0, buffer.vectors(0, 4096))) ==
          std::errc::bad_file_descriptor);
}

void resizes_or_says_no(Bench& bench) {
  bench.write(kContractSize - 65536, pattern(65536, 8));
  const std::error_code error = bench.host.wait(bench.disk->resize(kContractSize + 65536));
  if (error) {
    REQUIRE(error == std::errc::not_supported);
    REQUIRE(bench.disk->limits().size == kContractSize);
    return;
  }
  REQUIRE(bench.disk->limits().size == kContractSize + 65536);
  REQUIRE(bench.read(kContractSize, 65536) == zeros(65536));
  REQUIRE(bench.read(kContractSize - 65536, 65536) == pattern(65536, 8));
  bench.write(kContractSize, pattern(65536, 9));
  REQUIRE(bench.read(kContractSize, 65536) == pattern(65536, 9));
  if (bench.host.wait(bench.disk->resize(kContractSize - 65536))) return;
  REQUIRE(bench.disk->limits().size == kContractSize - 65536);
  REQUIRE_FALSE(bench.host.wait(bench.disk->resize(kContractSize)));
  REQUIRE(bench.read(kContractSize - 65536, 65536) == zeros(65536));
}

}  // namespace

void check_node_contract(const MakeNode& make) {
  Bench bench(make);
  SECTION("its limits are sane") {
    limits_are_sane(bench);
  }
  SECTION("a fresh one reads as zeros") {
    fresh_reads_zeros(bench);
  }
  SECTION("it reads back what was written, and only that changed") {
    reads_back(bench);
  }
  SECTION("unaligned requests change only their bytes") {
    reads_back_unaligned(bench);
  }
  SECTION("the last byte can be reached") {
    reaches_the_last_byte(bench);
  }
  SECTION("requests may have very many buffers") {
    takes_many_buffers(bench);
  }
  SECTION("zeroed ranges read as zeros") {
    zeroes(bench);
  }
  SECTION("discarded ranges read as before or as zeros") {
    discards(bench);
  }
  SECTION("extents are true") {
    extents_are_true(bench);
  }
  SECTION("concurrent neighbours lose nothing") {
    serves_concurrently(bench);
  }
  SECTION("what lies outside never reaches it") {
    refuses_what_lies_outside(bench);
  }
  SECTION("it flushes and closes") {
    flushes_and_closes(bench);
  }
  SECTION("it can be resized or says that it cannot") {
    resizes_or_says_no(bench);
  }
}

}  // namespace vireo::blk::testing
