#include "devices/net/slirp_limits.h"

#include <algorithm>
#include <utility>

namespace vireo::dev {

namespace {

using std::chrono::milliseconds;

// What counting costs stays a hundredth of the time.
constexpr milliseconds kBetweenCounts{100};
// A fragment takes a buffer of libslirp's, however short it is.
constexpr size_t kFragmentBuffer = 2048;
constexpr uint64_t kMostFragments = uint64_t{64} << 20;
constexpr uint64_t kFragmentsPerSecond = kMostFragments / 30;

}  // namespace

SlirpLimits::SlirpLimits(size_t most, std::function<size_t()> count_connections, Time now)
    : most_(most),
      count_connections_(std::move(count_connections)),
      fragments_(kFragmentsPerSecond, kMostFragments, now) {}

SlirpLimits::Need SlirpLimits::need_of(const Packet& packet) {
  using Kind = Need::Kind;
  if (packet.fragment) return {.kind = Kind::fragment};
  if (packet.protocol == kTcp) {
    const bool opens = (byte_at(packet.payload, kTcpFlags) & (kTcpSyn | kTcpAck)) == kTcpSyn;
    return {.kind = opens ? Kind::connection : Kind::nothing};
  }
  if (packet.version == 4 && packet.protocol == kIcmp) return {.kind = Kind::datagram};
  if (packet.protocol != kUdp) return {};
  return {.kind = Kind::datagram, .source = packet.from(), .destination = packet.to()};
}

bool SlirpLimits::admits(const Packet& packet, size_t bytes, Time now) {
  const Need need = need_of(packet);
  if (!admits(need, bytes, now)) return false;
  under_way_ = need;
  return true;
}

bool SlirpLimits::admits(const Need& need, size_t bytes, Time now) {
  switch (need.kind) {
    case Need::Kind::nothing:
      return true;
    case Need::Kind::connection:
      return admits_connection(now);
    case Need::Kind::datagram:
      return admits_datagram(need);
    case Need::Kind::fragment:
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

bool SlirpLimits::admits_datagram(const Need& need) const {
  if (datagram_sockets_.size() < most_) return true;
  if (!need.source) return false;
  return sources_.contains(*need.source) || exempt_sources_.contains(*need.source) ||
         exempt_destinations_.contains(*need.destination);
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
  if (fd < 0 || under_way_.kind == Need::Kind::connection) return;  // that one is counted
  if (under_way_.kind == Need::Kind::nothing) {
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
