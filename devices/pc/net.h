// A network interface and the network that it is connected to, as `vireo run --net` and
// descriptions in JSON tell it:
//
//   user[,hostfwd=…]   tap=NAME   tap   bridge=NAME   fd=N   socket=unix:PATH
//
// Plain values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "devices/net/mac.h"
#include "devices/net/open.h"
#include "devices/net/rate_limit.h"
#include "devices/pc/keys.h"

namespace vireo::pc {

struct NetInterface {
  std::string id{};                      // names it; empty in a list: net0, net1, …
  std::optional<dev::MacAddress> mac{};  // none: default_mac()
  uint16_t mtu = 0;                      // 0: the network's
  dev::NetRates rates{};                 // of each direction
  dev::NetSpec network{};
};

// An interface of the network that the pairs name, with that network's defaults. Throws ConfigError
// when they name none.
NetInterface interface_for(std::string_view of, const std::vector<Pair>& pairs);
// The same network with nothing set.
NetInterface fresh(const NetInterface& interface);
// All keys that interfaces of its network have.
Keys keys_of(NetInterface& interface);
// What no key by itself can tell. Throws ConfigError that begins with `of`.
void check(std::string_view of, const NetInterface& interface);
// The network as it is asked for, with the interface's MTU.
dev::NetSpec network_of(const NetInterface& interface);

// The address of the n-th interface of a machine when none was given: a hash of the machine's name,
// so that it stays what it is; of a machine without a name, of the network, which it shares with
// nobody on this host.
dev::MacAddress default_mac(const std::string& machine, const dev::NetBackend& network,
                            size_t index);

// The keys of all kinds, for --help.
std::string net_help();
std::vector<Keys::Description> net_keys();

}  // namespace vireo::pc
