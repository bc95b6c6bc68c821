#include "devices/net/slirp_limits.h"

#include <algorithm>
#include <array>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"

namespace vireo::dev {
namespace {

using namespace std::chrono_literals;

using Frame = std::vector<std::byte>;

Frame ethernet(uint16_t type, std::span<const std::byte> packet) {
  ByteWriter frame;
  frame.zeros(12);
  frame.put(be16(type));
  frame.put(packet);
  return frame.take();
}

Frame ipv4(uint8_t protocol, const Frame& payload, uint16_t fragment = 0, uint8_t words = 5) {
  ByteWriter packet;
  packet.put(std::array<uint8_t, 2>{static_cast<uint8_t>(0x40 | words), 0});
  packet.zeros(4);
  packet.put(be16(fragment));
  packet.put(std::array<uint8_t, 2>{64, protocol});
  packet.zeros(2);
  packet.put(be32(0x0a00020f));
  packet.put(be32(0x0a000202));
  packet.zeros(size_t{4} * words - 20);
  packet.put(payload);
  return ethernet(0x0800, packet.bytes());
}

Frame ipv6(uint8_t protocol, const Frame& payload) {
  ByteWriter packet;
  packet.zeros(6);
  packet.put(std::array<uint8_t, 2>{protocol, 64});
  packet.zeros(32);
  packet.put(payload);
  return ethernet(0x86dd, packet.bytes());
}

Frame tcp(uint8_t flags) {
  Frame segment(20);
  segment[13] = std::byte{flags};
  return segment;
}

Frame udp(uint16_t source, uint16_t destination = 0) {
  ByteWriter datagram;
  datagram.put(be16(source));
  datagram.put(be16(destination));
  datagram.zeros(4);
  return datagram.take();
}

IpPort port(std::array<uint8_t, 4> address, uint16_t number) {
  IpPort made{{}, number};
  std::ranges::transform(address, made.first.begin(), [](uint8_t byte) { return std::byte{byte}; });
  return made;
}

// libslirp, of which a test says how many connections it has.
struct Bench {
  size_t connections = 0;
  size_t counts = 0;
  SlirpLimits::Time now{};
  SlirpLimits limits{4,
                     [this] {
                       ++counts;
                       return connections;
                     },
                     now};

  // Admits a frame, for which libslirp opens a socket.
  bool opens(const Frame& frame, int fd) {
    if (!limits.admits(parse_packet(frame), frame.size(), now)) return false;
    limits.opened(fd);
    limits.taken();
    return true;
  }
  bool admits(const Frame& frame) {
    const bool admitted = limits.admits(parse_packet(frame), frame.size(), now);
    limits.taken();
    return admitted;
  }
};

}  // namespace

TEST_CASE("connections are admitted up to the limit") {
  const auto syn =
      GENERATE(ipv4(6, tcp(kTcpSyn)), ipv4(6, tcp(kTcpSyn), 0, 7), ipv6(6, tcp(kTcpSyn)));
  Bench bench;
  bench.connections = 4;
  for (int i = 0; i < 4; ++i) CHECK(bench.opens(syn, 10 + i));
  CHECK(bench.counts == 0);
  CHECK_FALSE(bench.admits(syn));
  CHECK(bench.counts == 1);
  CHECK(bench.admits(ipv4(6, tcp(kTcpAck))));
  CHECK(bench.admits(ipv4(6, tcp(kTcpSyn | kTcpAck))));
}

TEST_CASE("connections that ended make room, which is looked for ten times a second at most") {
  Bench bench;
  bench.connections = 4;
  const Frame syn = ipv4(6, tcp(kTcpSyn));
  for (int i = 0; i < 4; ++i) CHECK(bench.admits(syn));
  CHECK_FALSE(bench.admits(syn));
  bench.connections = 3;
  for (int i = 0; i < 100; ++i) CHECK_FALSE(bench.admits(syn));
  CHECK(bench.counts == 1);
  bench.now += 100ms;
  CHECK(bench.admits(syn));
  CHECK_FALSE(bench.admits(syn));
  CHECK(bench.counts == 2);
}

TEST_CASE("connections of the host's count, too") {
  Bench bench;
  bench.connections = 4;
  for (int i = 0; i < 4; ++i) {
    CHECK(bench.limits.has_room(bench.now));
    bench.limits.opened(20 + i);
  }
  CHECK_FALSE(bench.limits.has_room(bench.now));
}

TEST_CASE("sockets for datagrams are opened up to the limit, and those that are open go on") {
  Bench bench;
  for (uint16_t i = 0; i < 4; ++i) CHECK(bench.opens(ipv4(17, udp(i)), i));
  CHECK_FALSE(bench.admits(ipv4(17, udp(4))));
  CHECK_FALSE(bench.admits(ipv6(17, udp(0))));  // of another address
  CHECK_FALSE(bench.admits(ipv4(1, Frame(8))));
  CHECK(bench.admits(ipv4(17, udp(2))));
  CHECK(bench.admits(ipv4(6, tcp(kTcpSyn))));
  bench.limits.closed(2);
  CHECK(bench.opens(ipv4(1, Frame(8)), 7));
  CHECK_FALSE(bench.admits(ipv4(17, udp(2))));
}

TEST_CASE("a forwarded port and libslirp's own servers need no room") {
  Bench bench;
  for (uint16_t i = 0; i < 4; ++i) CHECK(bench.opens(ipv4(17, udp(i)), i));
  const Frame answer = ipv4(17, udp(5353, 40'000));
  const Frame renewal = ipv4(17, udp(68, 67));
  CHECK_FALSE(bench.admits(answer));
  CHECK_FALSE(bench.admits(renewal));
  bench.limits.exempt_source(port({10, 0, 2, 16}, 5353));
  bench.limits.exempt_destination(port({255, 255, 255, 255}, 67));
  CHECK_FALSE(bench.admits(answer));  // of another address: it would take a socket
  CHECK_FALSE(bench.admits(renewal));
  bench.limits.exempt_source(port({10, 0, 2, 15}, 5353));
  bench.limits.exempt_destination(port({10, 0, 2, 2}, 67));
  CHECK(bench.admits(answer));
  CHECK(bench.admits(renewal));
  CHECK_FALSE(bench.admits(ipv4(17, udp(68, 66))));
  CHECK_FALSE(bench.admits(ipv6(17, udp(5353, 67))));
  CHECK_FALSE(bench.admits(ipv4(17, udp(5353), 0x2000)));
}

TEST_CASE("datagrams that need no socket do not count") {
  Bench bench;
  for (uint16_t i = 0; i < 100; ++i) CHECK(bench.admits(ipv4(17, udp(i))));
  for (int i = 0; i < 100; ++i) CHECK(bench.admits(ethernet(0x0806, Frame(28))));
  for (int i = 0; i < 100; ++i) CHECK(bench.admits(ipv6(58, Frame(24))));
}

TEST_CASE("a descriptor that comes again is another socket") {
  Bench bench;
  CHECK(bench.opens(ipv4(17, udp(1)), 9));
  for (uint16_t i = 2; i < 6; ++i) CHECK(bench.opens(ipv4(17, udp(i)), i == 2 ? 9 : i));
  CHECK_FALSE(bench.admits(ipv4(17, udp(1))));
  bench.limits.opened(-1);
  bench.limits.closed(-1);
  bench.limits.closed(1000);
}

TEST_CASE("fragments are admitted as long as libslirp can keep them") {
  constexpr uint16_t kMoreFragments = 0x2000;
  SlirpLimits limits(1 << 20, [] { return size_t{0}; }, {});
  SlirpLimits::Time now{};
  const auto flood = [&](const Frame& fragment) {
    size_t admitted = 0;
    while (admitted < 1'000'000 && limits.admits(parse_packet(fragment), fragment.size(), now))
      ++admitted;
    return admitted;
  };
  CHECK(flood(ipv4(17, Frame(8), kMoreFragments)) == (64 << 20) / 2048);  // a buffer each
  CHECK(flood(ipv4(17, Frame(8), 1)) == 0);
  const Frame whole = ipv4(17, udp(1));
  CHECK(limits.admits(parse_packet(whole), whole.size(), now));
  now += 30s;
  CHECK(flood(ipv4(17, Frame(60'000), 5)) == (64 << 20) / 60'034);
}

TEST_CASE("a fragment may be of anything") {
  Bench bench;
  bench.connections = 4;
  for (int i = 0; i < 4; ++i) CHECK(bench.admits(ipv4(6, tcp(kTcpSyn))));
  CHECK_FALSE(bench.admits(ipv4(17, udp(1), 0x2000)));
}

TEST_CASE("frames that are cut off anywhere are read within their bounds") {
  for (const Frame& whole : {ipv4(6, tcp(kTcpSyn)), ipv4(17, udp(1)), ipv6(6, tcp(kTcpSyn)),
                             ipv6(17, udp(1)), ipv4(6, tcp(kTcpSyn), 0, 15)}) {
    Bench bench;
    for (size_t length = 0; length <= whole.size(); ++length)
      bench.admits(Frame(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)));
    CHECK(bench.limits.has_room(bench.now));
  }
}

}  // namespace vireo::dev
