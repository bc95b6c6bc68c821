// How much of the host a guest can take through libslirp, which has no limits of its own: its
// sockets (a descriptor each, a connection up to 256 KiB of buffers too), and the fragments of IPv4
// packets that it keeps for half a minute in case the others come (RFC 791, 3.2). What would take
// more is dropped before libslirp sees it, as on a busy wire; what is open goes on, and so do
// forwarded ports and what libslirp answers itself.
//
// Thread: the loop's. Owns nothing of libslirp's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "devices/net/packet.h"
#include "vmm/base/token_bucket.h"

namespace vireo::dev {

class SlirpLimits {
 public:
  using Time = TokenBucket::Time;
  // So many connections, and so many sockets of other kinds. `count_connections` counts those that
  // libslirp has, with or without a socket, and takes a while when they are many.
  SlirpLimits(size_t most, std::function<size_t()> count_connections, Time now);

  // Datagrams of UDP that take no socket, however many there are: from a port of the guest's that
  // is forwarded, and to one where libslirp itself answers.
  void exempt_source(const IpPort& port) { exempt_sources_.insert(port); }
  void exempt_destination(const IpPort& port) { exempt_destinations_.insert(port); }

  // Whether libslirp may have this packet of the guest's, which is a frame of so many bytes; if so,
  // taken() follows once it has had it.
  bool admits(const Packet& packet, size_t bytes, Time now);
  void taken() noexcept { under_way_ = {}; }
  // Whether it may take a connection of the host's.
  bool has_room(Time now);

  // What libslirp does with descriptors, of the frame under way or otherwise.
  void opened(int fd);
  void closed(int fd);

 private:
  // What a frame may make libslirp open or keep.
  struct Need {
    enum class Kind : uint8_t { nothing, connection, datagram, fragment } kind = Kind::nothing;
    std::optional<IpPort> source{};  // of a datagram of UDP: libslirp has a socket for each
    std::optional<IpPort> destination{};
  };
  static Need need_of(const Packet& packet);
  bool admits(const Need& need, size_t bytes, Time now);
  bool admits_connection(Time now);
  bool admits_datagram(const Need& need) const;
  bool admits_fragment(size_t bytes, Time now);

  const size_t most_;
  const std::function<size_t()> count_connections_;
  size_t connections_ = 0;  // at most: as they were counted, and all that may have come since
  std::optional<Time> counted_{};
  std::map<IpPort, int> sources_;
  std::map<int, std::optional<IpPort>> datagram_sockets_;  // by descriptor
  std::set<IpPort> exempt_sources_, exempt_destinations_;
  Need under_way_{};
  TokenBucket fragments_;  // bytes
};

}  // namespace vireo::dev
