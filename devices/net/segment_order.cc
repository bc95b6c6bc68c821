#include "devices/net/segment_order.h"

#include <algorithm>

namespace vireo::dev {

namespace {

// RFC 9293, 3.4: sequence numbers go round.
int32_t distance(uint32_t from, uint32_t to) noexcept {
  return static_cast<int32_t>(to - from);
}

}  // namespace

// What is cut off reads as zeros: libslirp drops it.
std::optional<SegmentOrder::Segment> SegmentOrder::parse(const Packet& packet) noexcept {
  if (packet.protocol != kTcp || packet.fragment) return std::nullopt;
  const auto tcp = packet.payload;
  const size_t header = size_t{4} * (byte_at(tcp, 12) >> 4);
  if (header > tcp.size()) return std::nullopt;
  return Segment{.sequence = long_at(tcp, 4),
                 .acknowledged = long_at(tcp, 8),
                 .length = static_cast<uint32_t>(tcp.size() - header),
                 .flags = byte_at(tcp, kTcpFlags)};
}

void SegmentOrder::advance(Connection& connection, uint32_t next) noexcept {
  if (distance(connection.next, next) > 0) connection.next = next;
  if (distance(connection.end, connection.next) >= 0) connection.ahead = 0;
}

bool SegmentOrder::admits(const Packet& packet) {
  const std::optional<Segment> segment = parse(packet);
  if (!segment) return true;
  const auto found = connections_.find({packet.from(), packet.to()});
  if (found == connections_.end()) return true;  // libslirp's answer will tell
  if ((segment->flags & kTcpReset) != 0) {
    connections_.erase(found);
    return true;
  }
  Connection& connection = found->second;
  connection.heard = ++time_;
  if (segment->length == 0) return true;
  const uint32_t end = segment->sequence + segment->length;
  if (distance(connection.next, segment->sequence) <= 0) {
    advance(connection, end);
    return true;
  }
  if (segment->length < kShort && connection.ahead >= kMostAhead) return false;
  const bool first = distance(connection.next, connection.end) <= 0;
  if (first || distance(connection.end, end) > 0) connection.end = end;
  connection.ahead += segment->length < kShort;
  return true;
}

void SegmentOrder::answered(const Packet& packet) {
  const std::optional<Segment> segment = parse(packet);
  if (!segment || (segment->flags & kTcpAck) == 0) return;
  const Ends ends{packet.to(), packet.from()};
  if ((segment->flags & kTcpReset) != 0) {
    connections_.erase(ends);
    return;
  }
  auto found = connections_.find(ends);
  if (found == connections_.end() || (segment->flags & kTcpSyn) != 0) {
    if (found == connections_.end()) make_room();
    const Connection fresh{.next = segment->acknowledged, .end = segment->acknowledged};
    found = connections_.insert_or_assign(ends, fresh).first;
  }
  found->second.heard = ++time_;
  advance(found->second, segment->acknowledged);
}

void SegmentOrder::make_room() {
  if (connections_.size() < most_) return;
  connections_.erase(std::ranges::min_element(
      connections_, {}, [](const auto& known) { return known.second.heard; }));
}

}  // namespace vireo::dev
