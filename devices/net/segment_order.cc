#include "devices/net/segment_order.h"

#include <algorithm>

#include "devices/net/packet.h"

namespace vireo::dev {

namespace {

constexpr uint8_t kSyn = 0x02, kReset = 0x04, kAck = 0x10;

// RFC 9293, 3.4: sequence numbers go round.
int32_t distance(uint32_t from, uint32_t to) noexcept {
  return static_cast<int32_t>(to - from);
}

}  // namespace

// What is cut off reads as zeros: libslirp drops it.
bool SegmentOrder::parse(std::span<const std::byte> frame, bool of_guest, Segment& segment) {
  const Packet packet = parse_packet(frame);
  if (packet.protocol != kTcp || packet.fragment) return false;
  const auto tcp = packet.payload;
  const size_t header = size_t{4} * (byte_at(tcp, 12) >> 4);
  if (header > tcp.size()) return false;
  const Port source{packet.source, word_at(tcp, 0)};
  const Port destination{packet.destination, word_at(tcp, 2)};
  segment = {.ends = of_guest ? Ends{source, destination} : Ends{destination, source},
             .sequence = long_at(tcp, 4),
             .acknowledged = long_at(tcp, 8),
             .length = static_cast<uint32_t>(tcp.size() - header),
             .flags = byte_at(tcp, 13)};
  return true;
}

void SegmentOrder::advance(Connection& connection, uint32_t next) noexcept {
  if (distance(connection.next, next) > 0) connection.next = next;
  if (distance(connection.end, connection.next) >= 0) connection.ahead = 0;
}

bool SegmentOrder::admits(std::span<const std::byte> frame) {
  Segment segment;
  if (!parse(frame, true, segment)) return true;
  const auto found = connections_.find(segment.ends);
  if (found == connections_.end()) return true;  // libslirp's answer will tell
  if ((segment.flags & kReset) != 0) {
    connections_.erase(found);
    return true;
  }
  Connection& connection = found->second;
  connection.heard = ++time_;
  if (segment.length == 0) return true;
  const uint32_t end = segment.sequence + segment.length;
  if (distance(connection.next, segment.sequence) <= 0) {
    advance(connection, end);
    return true;
  }
  if (segment.length < kShort && connection.ahead >= kMostAhead) return false;
  const bool first = distance(connection.next, connection.end) <= 0;
  if (first || distance(connection.end, end) > 0) connection.end = end;
  connection.ahead += segment.length < kShort;
  return true;
}

void SegmentOrder::answered(std::span<const std::byte> frame) {
  Segment segment;
  if (!parse(frame, false, segment) || (segment.flags & kAck) == 0) return;
  if ((segment.flags & kReset) != 0) {
    connections_.erase(segment.ends);
    return;
  }
  auto found = connections_.find(segment.ends);
  if (found == connections_.end() || (segment.flags & kSyn) != 0) {
    if (found == connections_.end()) make_room();
    const Connection fresh{.next = segment.acknowledged, .end = segment.acknowledged};
    found = connections_.insert_or_assign(segment.ends, fresh).first;
  }
  found->second.heard = ++time_;
  advance(found->second, segment.acknowledged);
}

void SegmentOrder::make_room() {
  if (connections_.size() < most_) return;
  connections_.erase(std::ranges::min_element(
      connections_, {}, [](const auto& known) { return known.second.heard; }));
}

}  // namespace vireo::dev
