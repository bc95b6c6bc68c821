// --net: what an interface of the machine's is connected to.
//
//   user[,hostfwd=…]   tap=NAME   bridge=NAME   fd=N   socket=unix:PATH   none
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "devices/net/mac.h"
#include "devices/net/open.h"
#include "devices/net/rate_limit.h"

namespace vireo::cli {

struct NetOption {
  std::string id;
  std::optional<dev::MacAddress> mac{};
  uint16_t mtu = 0;
  dev::NetRates rates{};
  dev::NetSpec network{};
};

// All of them, in their order; throws ConfigError.
std::vector<NetOption> parse_nets(const std::vector<std::string>& texts);

// The address of the n-th interface of a machine when none was given: a hash of the machine's name,
// so that it stays what it is; of a machine without a name, of the network, which it shares with
// nobody on this host.
dev::MacAddress default_mac(const std::string& machine, const dev::NetBackend& network,
                            size_t index);

// What the keys mean, for --help.
extern const char* const kNetHelp;

}  // namespace vireo::cli
