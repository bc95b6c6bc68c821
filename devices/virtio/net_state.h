// What a driver can set of a network device, and what follows from it: which frames it is given.
//
// Plain values; any thread. What a command says is the guest's: it is checked before any of it is
// taken over.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/net/header.h"
#include "devices/virtio/net_wire.h"
#include "vmm/base/state.h"

namespace vireo::dev {

struct NetState {
  static constexpr StateTag kTag{"virtio-net", 1};
  static constexpr size_t kMaxAddresses = 64;  // of a table
  static constexpr size_t kVlans = 4096;

  // Receive modes (5.1.6.5.1). A driver that says nothing gets everything.
  bool promiscuous = true;
  bool all_multicast = false;
  bool all_unicast = false;
  bool no_multicast = false;
  bool no_unicast = false;
  bool no_broadcast = false;
  std::vector<MacBytes> unicast{};
  std::vector<MacBytes> multicast{};
  bool unicast_overflow = false;  // the driver gave more than are kept: all are accepted
  bool multicast_overflow = false;
  std::vector<uint8_t> vlans{};  // empty: none was added; else a bit for each
  MacBytes mac{};                // as the driver set it; all zeros: the configured one
  uint16_t queue_pairs = 1;      // in use
  bool offloads_set = false;     // by command, to `offloads`; else they are the negotiated ones
  uint64_t offloads = 0;
  bool announce = false;  // the driver is asked to make itself known
  static void fields(auto& self, auto& archive) {
    archive("promiscuous", self.promiscuous)("all_multicast", self.all_multicast)(
        "all_unicast", self.all_unicast)("no_multicast", self.no_multicast)(
        "no_unicast", self.no_unicast)("no_broadcast", self.no_broadcast)("unicast", self.unicast)(
        "multicast", self.multicast)("unicast_overflow", self.unicast_overflow)(
        "multicast_overflow", self.multicast_overflow)("vlans", self.vlans)("mac", self.mac)(
        "queue_pairs", self.queue_pairs)("offloads_set", self.offloads_set)(
        "offloads", self.offloads)("announce", self.announce);
  }
  bool operator==(const NetState&) const = default;

  // Whether a frame that begins so (the Ethernet header, and the tag if there is one) is for a
  // device of this address.
  bool accepts(std::span<const std::byte> start, const MacBytes& own, bool filter_vlans) const;

  // The commands; false, and nothing changed, when they can not be.
  bool set_receive_mode(uint8_t command, uint8_t on);
  bool set_addresses(std::span<const std::byte> tables);
  bool set_mac(std::span<const std::byte> address);
  bool set_vlan(uint16_t vlan, bool on);
};

bool is_multicast(const MacBytes& address) noexcept;

}  // namespace vireo::dev
