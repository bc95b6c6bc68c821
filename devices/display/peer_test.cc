#include "devices/display/peer.h"

#include <unistd.h>

#include <cstring>

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <netinet/in.h>

#include "vmm/base/fd.h"

namespace vireo::display {
namespace {

Peer at_v4(const char* host, uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  REQUIRE(::inet_pton(AF_INET, host, &v4.sin_addr) == 1);
  sockaddr_storage address{};
  std::memcpy(&address, &v4, sizeof(v4));
  return peer_of(-1, address, sizeof(v4));
}

Peer at_v6(const char* host, uint16_t port) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  REQUIRE(::inet_pton(AF_INET6, host, &v6.sin6_addr) == 1);
  sockaddr_storage address{};
  std::memcpy(&address, &v6, sizeof(v6));
  return peer_of(-1, address, sizeof(v6));
}

}  // namespace

TEST_CASE("connections from one address are of one origin", "[display]") {
  REQUIRE(at_v4("192.0.2.7", 1000).text == "192.0.2.7:1000");
  REQUIRE(at_v4("192.0.2.7", 1000).origin == at_v4("192.0.2.7", 2000).origin);
  REQUIRE(at_v4("192.0.2.7", 1000).origin != at_v4("192.0.2.8", 1000).origin);
  REQUIRE(at_v6("::ffff:192.0.2.7", 1000).origin == at_v4("192.0.2.7", 1).origin);
}

TEST_CASE("so are those from one IPv6 network", "[display]") {
  REQUIRE(at_v6("2001:db8:1:2::7", 1000).text == "[2001:db8:1:2::7]:1000");
  REQUIRE(at_v6("2001:db8:1:2::7", 1000).origin == at_v6("2001:db8:1:2:a:b:c:d", 1).origin);
  REQUIRE(at_v6("2001:db8:1:2::7", 1000).origin != at_v6("2001:db8:1:3::7", 1000).origin);
}

TEST_CASE("on a unix socket the user is the origin", "[display]") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd ours(ends[0]), theirs(ends[1]);
  sockaddr_storage address{};
  address.ss_family = AF_UNIX;
  const Peer peer = peer_of(ours.get(), address, sizeof(sa_family_t));
  REQUIRE(peer.origin == "uid " + std::to_string(::getuid()));
  REQUIRE(peer.text == "a viewer on the unix socket");
}

}  // namespace vireo::display
