// What a user mode network is asked for, in the words of QEMU's -netdev user. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <netinet/in.h>

namespace vireo::dev {

// Ports of the host's that lead to the guest's, one after the other.
struct HostForward {
  bool udp = false;
  // An address of the host's, or a name that stands for one, of which the first IPv4 address is
  // taken, or, without one, the first IPv6 address. Empty: any IPv4 address; "::": any IPv6
  // address.
  std::string host{};
  uint16_t host_port = 0;  // of the first; 0: one that the host chooses
  // The guest's address, of the same family. Empty: what DHCP gives first, 10.0.2.15; for IPv6 the
  // first that the guest says is its own.
  std::string guest{};
  uint16_t guest_port = 0;  // of the first
  uint16_t count = 1;
};

// A server in the guest's network that is really on the host: each connection is one to a Unix
// socket, or a command with the connection as its standard input and output.
struct GuestForward {
  enum class Kind : uint8_t { unix_socket, command };
  in_addr server{};
  uint16_t port = 0;
  Kind kind = Kind::unix_socket;
  std::string target{};
};

struct UserNetConfig {
  std::string hostname{};  // that DHCP gives
  bool ipv6 = true;
  bool restricted = false;  // only what is forwarded: nothing else gets out
  std::string tftp{};       // a directory to serve; empty: no server
  uint16_t mtu = 1500;
  std::vector<HostForward> host_forwards{};
  std::vector<GuestForward> guest_forwards{};
};

// "tcp:127.0.0.1:2222-:22", "udp::5353-10.0.2.15:53", "::8080-:80", "tcp:[::1]:2222-:22",
// "tcp:localhost:0-:22", "tcp::8000-8010-:8000-8010". Throws ConfigError.
HostForward parse_host_forward(std::string_view text);
// As parse_host_forward() reads it.
std::string to_string(const HostForward& forward);
// "tcp:10.0.2.100:1234-unix:PATH", "…-cmd:COMMAND". Throws ConfigError.
GuestForward parse_guest_forward(std::string_view text);
// As parse_guest_forward() reads it.
std::string to_string(const GuestForward& forward);

}  // namespace vireo::dev
