// Who has connected: as log lines name it, and what counts as one origin where places and tries of
// passwords are shared out.
//
// Values; any thread.
#pragma once

#include <sys/socket.h>

#include <string>

namespace vireo::display {

struct Peer {
  std::string text;    // "192.0.2.7:51820", "[2001:db8::7]:51820"
  std::string origin;  // "192.0.2.7", "2001:db8::/64", "uid 1000"
};

// "192.0.2.7:51820", "[2001:db8::7]:51820"; empty when the address has neither host nor port.
std::string describe_address(const sockaddr_storage& address, socklen_t length);

// Of a connected socket, as accept() gave it. One IPv6 network of 64 bits is one origin: whoever
// has one address there has them all. On a unix socket the user is the origin.
Peer peer_of(int socket, const sockaddr_storage& address, socklen_t length);

}  // namespace vireo::display
