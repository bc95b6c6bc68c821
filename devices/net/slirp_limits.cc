#include "devices/net/slirp_limits.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "devices/net/header.h"
#include "vmm/base/bytes.h"

namespace vireo::dev {

namespace {

using std::chrono::milliseconds;

constexpr uint16_t kIpv4 = 0x0800;
constexpr uint16_t kIpv6 = 0x86dd;
constexpr uint8_t kIcmp = 1;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kAck = 0x10;
constexpr uint8_t kUdp = 17;
constexpr size_t kIpv6Header = 40;

// What counting costs stays a hundredth of the time.
constexpr milliseconds kBetweenCounts{100};
// A fragment takes a buffer of libslirp's, however short it is.
constexpr size_t kFragmentBuffer = 2048;
constexpr uint64_t kMostFragments = uint64_t{64} << 20;
constexpr uint64_t kFragmentsPerSecond = kMostFragments / 30;

uint8_t byte_at(std::span<const std::byte> bytes, size_t offset) noexcept {
  return offset < bytes.size() ? std::to_integer<uint8_t>(bytes[offset]) : uint8_t{0};
}

uint16_t word_at(std::span<const std::byte> bytes, size_t offset) noexcept {
  return static_cast<uint16_t>(byte_at(bytes, offset) << 8 | byte_at(bytes, offset + 1));
}

}  // namespace

SlirpLimits::SlirpLimits(size_t most, std::function<size_t()> count_connections, Time now)
    : most_(most),
      count_connections_(std::move(count_connections)),
      fragments_(kFragmentsPerSecond, kMostFragments, now) {}

// What is cut off reads as zeros: libslirp drops it.
SlirpLimits::Packet SlirpLimits::parse(std::span<const std::byte> frame) {
  using Kind = Packet::Kind;
  const uint16_t type = word_at(frame, 12);
  if (type != kIpv4 && type != kIpv6) return {};
  const auto ip = frame.subspan(std::min(kEthernetHeader, frame.size()));
  const bool four = type == kIpv4;
  constexpr uint16_t kFragmentBits = 0x3fff;  // more of them to come, or the place of this one
  if (four && (word_at(ip, 6) & kFragmentBits) != 0) return {.kind = Kind::fragment};
  const uint8_t protocol = byte_at(ip, four ? 9 : 6);
  const size_t header = four ? size_t{4} * (byte_at(ip, 0) & 0xf) : kIpv6Header;
  const auto payload = ip.subspan(std::min(header, ip.size()));
  if (protocol == kTcp) {
    const bool opens = (byte_at(payload, 13) & (kSyn | kAck)) == kSyn;
    return {.kind = opens ? Kind::connection : Kind::nothing};
  }
  if (four && protocol == kIcmp) return {.kind = Kind::datagram};
  if (protocol != kUdp) return {};
  const size_t length = four ? 4 : 16;
  const auto port = [&](size_t address, size_t number) {
    Port read{{}, word_at(payload, number)};
    const auto from = ip.subspan(std::min(address, ip.size()));
    std::ranges::copy(from.first(std::min(length, from.size())), read.first.begin());
    return read;
  };
  const size_t source = four ? 12 : 8;
  return {
      .kind = Kind::datagram, .source = port(source, 0), .destination = port(source + length, 2)};
}

bool SlirpLimits::admits(std::span<const std::byte> frame, Time now) {
  const Packet packet = parse(frame);
  if (!admits(packet, frame.size(), now)) return false;
  under_way_ = packet;
  return true;
}

bool SlirpLimits::admits(const Packet& packet, size_t bytes, Time now) {
  switch (packet.kind) {
    case Packet::Kind::nothing:
      return true;
    case Packet::Kind::connection:
      return admits_connection(now);
    case Packet::Kind::datagram:
      return admits_datagram(packet);
    case Packet::Kind::fragment:
      return admits_fragment(bytes, now);
  }
  return true;
}

bool SlirpLimits::has_room(Time now) {
  if (connections_ >= most_ && (!counted_ || now - *counted_ >= kBetweenCounts)) {
    connections_ = count_connections_();
    counted_ = now;
  }
  return connections_ < most_;
}

bool SlirpLimits::admits_connection(Time now) {
  if (!has_room(now)) return false;
  ++connections_;
  return true;
}

bool SlirpLimits::admits_datagram(const Packet& packet) const {
  if (datagram_sockets_.size() < most_) return true;
  if (!packet.source) return false;
  return sources_.contains(*packet.source) || exempt_sources_.contains(*packet.source) ||
         exempt_destinations_.contains(*packet.destination);
}

// The packet that a fragment completes may be anything.
bool SlirpLimits::admits_fragment(size_t bytes, Time now) {
  const size_t taken = std::max(bytes, kFragmentBuffer);
  if (fragments_.wait(now, taken).count() > 0 || !admits_datagram({}) || !admits_connection(now))
    return false;
  fragments_.take(taken);
  return true;
}

void SlirpLimits::opened(int fd) {
  if (fd < 0 || under_way_.kind == Packet::Kind::connection) return;  // that one is counted
  if (under_way_.kind == Packet::Kind::nothing) {
    ++connections_;
    return;
  }
  closed(fd);
  datagram_sockets_[fd] = under_way_.source;
  if (under_way_.source) sources_[*under_way_.source] = fd;
}

void SlirpLimits::closed(int fd) {
  const auto found = datagram_sockets_.find(fd);
  if (found == datagram_sockets_.end()) return;
  if (found->second) sources_.erase(*found->second);
  datagram_sockets_.erase(found);
}

}  // namespace vireo::dev
