// Which segments of the guest's TCP connections libslirp would keep until one before them comes
// (RFC 9293, 3.10.7.4): each takes a buffer of 2 KiB, however short it is, and the window alone
// bounds them. Short segments ahead of a gap are let through up to a number a connection; the rest
// is dropped as on a busy wire, and the guest sends it again.
//
// What libslirp has is known from what it acknowledges, and from what came in order since.
//
// Thread: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "devices/net/packet.h"

namespace vireo::dev {

class SegmentOrder {
 public:
  // Data of fewer bytes is a short segment. The window of 128 KiB bounds the others.
  static constexpr size_t kShort = 1024;
  static constexpr uint32_t kMostAhead = 64;

  // `most`: connections that are known at once; the one that was quiet the longest makes room.
  explicit SegmentOrder(size_t most) : most_(most) {}

  // Whether libslirp may have this packet of the guest's.
  bool admits(const Packet& packet);
  // A packet of libslirp's to the guest.
  void answered(const Packet& packet);

  size_t connections() const noexcept { return connections_.size(); }

 private:
  using Ends = std::pair<IpPort, IpPort>;  // the guest's first
  struct Segment {
    uint32_t sequence = 0, acknowledged = 0;
    uint32_t length = 0;  // of the data
    uint8_t flags = 0;
  };
  struct Connection {
    uint32_t next = 0;   // sequence number of what comes next
    uint32_t end = 0;    // of what came ahead of a gap
    uint32_t ahead = 0;  // short segments among that
    uint64_t heard = 0;
  };
  static std::optional<Segment> parse(const Packet& packet) noexcept;
  static void advance(Connection& connection, uint32_t next) noexcept;
  void make_room();

  const size_t most_;
  std::map<Ends, Connection> connections_;
  uint64_t time_ = 0;
};

}  // namespace vireo::dev
