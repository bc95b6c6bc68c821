// An Ethernet frame read as an IP packet (RFC 791, RFC 8200): as far as libslirp would read it.
// What is cut off reads as zeros. Pure; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "devices/net/header.h"

namespace vireo::dev {

inline constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17;
// Flags of a TCP segment (RFC 9293, 3.1), and where they lie in it.
inline constexpr uint8_t kTcpSyn = 0x02, kTcpReset = 0x04, kTcpAck = 0x10;
inline constexpr size_t kTcpFlags = 13;

// An address, IPv4 in its first bytes.
using IpAddress = std::array<std::byte, 16>;
// An address with a port of TCP or UDP.
using IpPort = std::pair<IpAddress, uint16_t>;

inline uint8_t byte_at(std::span<const std::byte> bytes, size_t offset) noexcept {
  return offset < bytes.size() ? std::to_integer<uint8_t>(bytes[offset]) : uint8_t{0};
}
inline uint16_t word_at(std::span<const std::byte> bytes, size_t offset) noexcept {
  return static_cast<uint16_t>(byte_at(bytes, offset) << 8 | byte_at(bytes, offset + 1));
}
inline uint32_t long_at(std::span<const std::byte> bytes, size_t offset) noexcept {
  return uint32_t{word_at(bytes, offset)} << 16 | word_at(bytes, offset + 2);
}

struct Packet {
  uint8_t version = 0;    // 4, 6, or 0 for anything else
  uint8_t protocol = 0;   // of the payload
  bool fragment = false;  // a part of a packet of IPv4
  IpAddress source{}, destination{};
  std::span<const std::byte> payload{};  // without what pads a short frame

  // Of TCP or UDP.
  IpPort from() const noexcept { return {source, word_at(payload, 0)}; }
  IpPort to() const noexcept { return {destination, word_at(payload, 2)}; }
};

inline Packet parse_packet(std::span<const std::byte> frame) noexcept {
  constexpr uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd;
  constexpr size_t kIpv6Header = 40;
  constexpr uint16_t kFragmentBits = 0x3fff;  // more of them to come, or the place of this one
  const uint16_t type = word_at(frame, 12);
  if (type != kIpv4 && type != kIpv6) return {};
  const auto ip = frame.subspan(std::min(kEthernetHeader, frame.size()));
  const bool four = type == kIpv4;
  Packet packet{.version = static_cast<uint8_t>(four ? 4 : 6),
                .protocol = byte_at(ip, four ? 9 : 6),
                .fragment = four && (word_at(ip, 6) & kFragmentBits) != 0};
  const size_t length = four ? 4 : 16, at = four ? 12 : 8;
  for (size_t i = 0; i < length; ++i) {
    packet.source[i] = std::byte{byte_at(ip, at + i)};
    packet.destination[i] = std::byte{byte_at(ip, at + length + i)};
  }
  const size_t header = four ? size_t{4} * (byte_at(ip, 0) & 0xf) : kIpv6Header;
  const size_t length_field = four ? word_at(ip, 2) : kIpv6Header + word_at(ip, 4);
  const size_t end = length_field > header ? length_field : ip.size();
  const auto whole = ip.first(std::min(end, ip.size()));
  packet.payload = whole.subspan(std::min(header, whole.size()));
  return packet;
}

}  // namespace vireo::dev
