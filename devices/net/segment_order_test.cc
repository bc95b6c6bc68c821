#include "devices/net/segment_order.h"

#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"

namespace vireo::dev {
namespace {

using Bytes = std::vector<std::byte>;
constexpr uint32_t kGuest = 0x0a00020f, kOther = 0xc0000201;

struct Tcp {
  uint32_t from = kGuest, to = kOther;
  uint16_t port = 1000;  // of the guest's end
  uint32_t sequence = 0, acknowledged = 0;
  size_t length = 0;
  uint8_t flags = kTcpAck;
};

Bytes frame(const Tcp& tcp, bool six = false) {
  const bool of_guest = tcp.from == kGuest;
  ByteWriter bytes;
  bytes.zeros(12);
  if (six) {
    bytes.put(be16(0x86dd));
    bytes.put(be32(0x60000000));
    bytes.put(be16(static_cast<uint16_t>(20 + tcp.length)));
    bytes.put(be16(0x0640));
    for (const uint32_t address : {tcp.from, tcp.to}) {
      bytes.zeros(12);
      bytes.put(be32(address));
    }
  } else {
    bytes.put(be16(0x0800));
    bytes.put(be16(0x4500));
    bytes.put(be16(static_cast<uint16_t>(40 + tcp.length)));
    bytes.put(be32(0));
    bytes.put(be32(0x40060000));
    bytes.put(be32(tcp.from));
    bytes.put(be32(tcp.to));
  }
  bytes.put(be16(of_guest ? tcp.port : uint16_t{80}));
  bytes.put(be16(of_guest ? uint16_t{80} : tcp.port));
  bytes.put(be32(tcp.sequence));
  bytes.put(be32(tcp.acknowledged));
  bytes.put(be16(static_cast<uint16_t>(0x5000 | tcp.flags)));
  bytes.zeros(6 + tcp.length);
  return bytes.take();
}

// A connection of the guest's that libslirp has answered; what the guest sends next is at `kFirst`.
constexpr uint32_t kFirst = 0xffffffe0;  // the numbers go round soon
struct Bench {
  SegmentOrder order{4};
  bool six = false;
  explicit Bench(bool over_six = false) : six(over_six) {
    CHECK(order.admits(parse_packet(frame({.sequence = kFirst - 1, .flags = kTcpSyn}, six))));
    acknowledge(kFirst, kTcpSyn | kTcpAck);
  }
  bool send(uint32_t offset, size_t length) {
    return order.admits(parse_packet(frame({.sequence = kFirst + offset, .length = length}, six)));
  }
  void acknowledge(uint32_t number, uint8_t flags = kTcpAck) {
    order.answered(parse_packet(
        frame({.from = kOther, .to = kGuest, .acknowledged = number, .flags = flags}, six)));
  }
  // Single bytes with gaps between them; gives how many were let through.
  uint32_t scatter(uint32_t from, uint32_t count) {
    uint32_t through = 0;
    for (uint32_t i = 0; i < count; ++i) through += send(from + 2 * i, 1);
    return through;
  }
};

TEST_CASE("segments in order are let through, however short they are") {
  Bench bench(GENERATE(false, true));
  for (uint32_t i = 0; i < 1000; ++i) REQUIRE(bench.send(i, 1));
  CHECK(bench.send(0, 1));  // once more
  bench.acknowledge(kFirst + 1000);
  CHECK(bench.send(1000, 1));
}

TEST_CASE("only so many short segments are let through ahead of a gap") {
  Bench bench(GENERATE(false, true));
  CHECK(bench.scatter(1, 1000) == SegmentOrder::kMostAhead);
  SECTION("long ones are not counted") {
    CHECK(bench.send(3000, SegmentOrder::kShort));
    CHECK_FALSE(bench.send(6001, 1));
  }
  SECTION("a gap that is filled in part frees nothing") {
    CHECK(bench.send(0, 1));
    bench.acknowledge(kFirst + 2);
    CHECK_FALSE(bench.send(5001, 1));
  }
  SECTION("until all of it is there") {
    const uint32_t end = 2 * SegmentOrder::kMostAhead;
    for (uint32_t i = 0; i < end; ++i) CHECK(bench.send(i, 1));
    bench.acknowledge(kFirst + end);
    CHECK(bench.scatter(end + 1, 1000) == SegmentOrder::kMostAhead);
  }
  SECTION("other connections do not suffer") {
    bench.order.answered(
        parse_packet(frame({.from = kOther, .to = kGuest, .port = 1001, .acknowledged = 7})));
    CHECK(bench.order.admits(parse_packet(frame({.port = 1001, .sequence = 7, .length = 1}))));
    CHECK(bench.order.admits(parse_packet(frame({.port = 1001, .sequence = 9, .length = 1}))));
  }
}

TEST_CASE("connections are forgotten when they are reset, and when there are too many") {
  Bench bench;
  SECTION("by the guest") {
    CHECK(bench.order.admits(parse_packet(frame({.sequence = kFirst, .flags = kTcpReset}))));
    CHECK(bench.order.connections() == 0);
  }
  SECTION("by libslirp") {
    bench.acknowledge(kFirst, kTcpReset | kTcpAck);
    CHECK(bench.order.connections() == 0);
  }
  SECTION("the quiet one first") {
    for (uint16_t port = 2000; port < 2004; ++port)
      bench.order.answered(
          parse_packet(frame({.from = kOther, .to = kGuest, .port = port, .acknowledged = 1})));
    CHECK(bench.order.connections() == 4);
    CHECK(bench.scatter(1, 100) == 100);  // what is not known is not judged
  }
}

TEST_CASE("what is no segment is let through") {
  Bench bench;
  const Bytes whole = frame({.sequence = kFirst, .length = 100});
  for (size_t length = 0; length < whole.size(); ++length)
    CHECK(bench.order.admits(parse_packet(std::span(whole).first(length))));
}

}  // namespace
}  // namespace vireo::dev
