// Addresses of ports of this host's and of the guest's, of both families. Control thread: a name is
// looked up, which may wait for a name server.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>

namespace vireo::dev {

struct HostAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* generic() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const noexcept { return storage.ss_family; }
};

// Of "127.0.0.1" or "::1"; nothing for anything else.
std::optional<HostAddress> parse_address(const std::string& text, uint16_t port);
// The unspecified address of a family.
HostAddress any_address(int family, uint16_t port);
// Also of a name: its first IPv4 address, or else its first IPv6 address. Throws ConfigError.
HostAddress find_address(const std::string& host, uint16_t port);
void set_port(HostAddress& address, uint16_t port) noexcept;
// Of a socket that is bound; 0 when it is not.
uint16_t port_of(int socket);

}  // namespace vireo::dev
