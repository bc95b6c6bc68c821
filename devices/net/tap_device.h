// Getting hold of a TAP (Linux, tuntap.rst): one that is there, one that the caller has opened, or
// one of our own, which ends with its last descriptor.
//
// Thread: control. What somebody else has made is only attached to: that takes no privilege when it
// is its owner's, and neither its address, its MTU nor its state are touched.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "devices/net/tap_config.h"
#include "vmm/base/fd.h"

namespace vireo::dev {

struct TapDevice {
  std::string name;
  std::vector<UniqueFd> queues;  // non-blocking
  bool headers = false;          // frames come and go behind a NetHeader
  bool udp_offload = false;      // the kernel knows TUN_F_UFO
  uint16_t mtu = 1500;
  // Readable whenever an interface of the host's comes, changes or goes: for who does not watch the
  // queues. None where vhost=off, or where the host has none to give.
  UniqueFd changes{};
};

// Throws ConfigError and std::system_error, in one sentence that says what to do.
TapDevice open_tap(const TapConfig& config);

}  // namespace vireo::dev
