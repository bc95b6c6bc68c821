#include "devices/net/tcp_join.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "devices/net/checksum.h"
#include "devices/net/packet.h"
#include "vmm/base/bytes.h"

namespace vireo::dev {

namespace {

// RFC 791, RFC 9293.
struct Ipv4Header {
  uint8_t version_and_length;
  uint8_t service;
  be16 total_length;
  be16 id;
  be16 fragment;
  uint8_t time_to_live;
  uint8_t protocol;
  be16 checksum;
  be32 source;
  be32 destination;
};
static_assert(sizeof(Ipv4Header) == 20);
struct TcpHeader {
  be16 source_port;
  be16 destination_port;
  be32 sequence;
  be32 acknowledged;
  uint8_t data_offset;
  uint8_t flags;
  be16 window;
  be16 checksum;
  be16 urgent;
};
static_assert(sizeof(TcpHeader) == 20);

constexpr uint8_t kPush = 0x08;
constexpr size_t kTcpStart = kEthernetHeader + sizeof(Ipv4Header);
constexpr size_t kMostInPacket = 65535;

struct Segment {
  Ipv4Header ip;
  TcpHeader tcp;
  size_t headers;  // all of them, in bytes
  size_t payload;
};

template <Wire T>
T at(std::span<const std::byte> bytes, size_t offset) noexcept {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

// Nothing when it is anything but a plain data segment.
std::optional<Segment> parse(std::span<const std::byte> frame) {
  constexpr uint16_t kIpv4 = 0x0800;
  if (frame.size() < kTcpStart + sizeof(TcpHeader) || at<be16>(frame, 12) != kIpv4)
    return std::nullopt;
  Segment segment{at<Ipv4Header>(frame, kEthernetHeader), at<TcpHeader>(frame, kTcpStart), 0, 0};
  const auto& [ip, tcp, headers, payload] = segment;
  const size_t tcp_length = size_t{4} * (tcp.data_offset >> 4);
  segment.headers = kTcpStart + tcp_length;
  if (ip.version_and_length != 0x45 || ip.protocol != kTcp || (ip.fragment & 0x3fff) != 0 ||
      size_t{ip.total_length} + kEthernetHeader != frame.size() || tcp_length < sizeof(TcpHeader) ||
      segment.headers >= frame.size() || (tcp.flags & ~kPush) != kTcpAck)
    return std::nullopt;
  segment.payload = frame.size() - segment.headers;
  return segment;
}

// All that must be the same: what is not compared here are lengths, positions and checksums.
bool same_stream(std::span<const std::byte> a, const Segment& first, std::span<const std::byte> b,
                 const Segment& second) {
  constexpr size_t kOptions = kTcpStart + sizeof(TcpHeader);
  return first.headers == second.headers && std::equal(a.begin(), a.begin() + 12, b.begin()) &&
         std::equal(a.begin() + kOptions, a.begin() + static_cast<ptrdiff_t>(first.headers),
                    b.begin() + kOptions) &&
         first.ip.service == second.ip.service && first.ip.time_to_live == second.ip.time_to_live &&
         first.ip.fragment == second.ip.fragment && first.ip.source == second.ip.source &&
         first.ip.destination == second.ip.destination &&
         first.tcp.source_port == second.tcp.source_port &&
         first.tcp.destination_port == second.tcp.destination_port &&
         first.tcp.acknowledged == second.tcp.acknowledged && first.tcp.window == second.tcp.window;
}

// The sum of the pseudo-header, which the checksum field of an unfinished segment holds.
uint16_t pseudo_sum(const Ipv4Header& ip) noexcept {
  struct {
    be32 source;
    be32 destination;
    be16 protocol = uint16_t{kTcp};
    be16 length;
  } pseudo;
  pseudo.source = ip.source;
  pseudo.destination = ip.destination;
  pseudo.length = static_cast<uint16_t>(ip.total_length - sizeof(Ipv4Header));
  return internet_sum(std::as_bytes(std::span(&pseudo, 1)));
}

}  // namespace

bool join_tcp(Frame& frame, std::span<const std::byte> next) {
  auto first = parse(frame.bytes);
  const auto second = parse(next);
  if (!first || !second) return false;
  const bool joined = frame.header.gso_type != kGsoNone;
  const size_t segment = joined ? size_t{frame.header.segment_size} : first->payload;
  if ((first->tcp.flags & kPush) != 0 || first->payload % segment != 0 ||
      second->payload > segment ||
      size_t{first->ip.total_length} + second->payload > kMostInPacket ||
      first->tcp.sequence + static_cast<uint32_t>(first->payload) != second->tcp.sequence ||
      !same_stream(frame.bytes, *first, next, *second))
    return false;
  frame.bytes.insert(frame.bytes.end(), next.begin() + static_cast<ptrdiff_t>(second->headers),
                     next.end());
  first->ip.total_length = static_cast<uint16_t>(first->ip.total_length + second->payload);
  first->ip.checksum = uint16_t{0};
  first->tcp.flags |= second->tcp.flags;
  first->tcp.checksum = byteswap(pseudo_sum(first->ip));  // sums are of this machine's byte order
  std::memcpy(frame.bytes.data() + kEthernetHeader, &first->ip, sizeof(first->ip));
  std::memcpy(frame.bytes.data() + kTcpStart, &first->tcp, sizeof(first->tcp));
  finish_checksum(std::span(frame.bytes).first(kTcpStart), kEthernetHeader,
                  offsetof(Ipv4Header, checksum));
  frame.header = {.flags = kNetNeedsChecksum,
                  .gso_type = kGsoTcp4,
                  .header_length = static_cast<uint16_t>(first->headers),
                  .segment_size = static_cast<uint16_t>(segment),
                  .checksum_start = static_cast<uint16_t>(kTcpStart),
                  .checksum_offset = static_cast<uint16_t>(offsetof(TcpHeader, checksum))};
  return true;
}

}  // namespace vireo::dev
