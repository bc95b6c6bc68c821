#include "devices/net/host_address.h"

#include <catch2/catch.hpp>
#include <netinet/in.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo::dev {
namespace {

uint16_t port_in(const HostAddress& address) {
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

}  // namespace

TEST_CASE("addresses of both families are read") {
  const auto four = parse_address("127.0.0.1", 80);
  REQUIRE(four);
  CHECK(four->family() == AF_INET);
  CHECK(four->length == sizeof(sockaddr_in));
  CHECK(port_in(*four) == 80);
  const auto six = parse_address("fec0::2", 8080);
  REQUIRE(six);
  CHECK(six->family() == AF_INET6);
  CHECK(six->length == sizeof(sockaddr_in6));
  CHECK(port_in(*six) == 8080);
  CHECK_FALSE(parse_address("localhost", 1));
  CHECK_FALSE(parse_address("", 1));
}

TEST_CASE("no host is any IPv4 address") {
  const HostAddress any = find_address("", 22);
  CHECK(any.family() == AF_INET);
  CHECK(reinterpret_cast<const sockaddr_in*>(&any.storage)->sin_addr.s_addr == INADDR_ANY);
  CHECK(find_address("::", 22).family() == AF_INET6);
}

TEST_CASE("names are looked up, IPv4 first") {
  const HostAddress host = find_address("localhost", 22);
  CHECK(host.family() == AF_INET);
  CHECK(port_in(host) == 22);
  CHECK_THROWS_WITH(find_address("no.such.name.invalid", 22),
                    Catch::StartsWith("the name 'no.such.name.invalid' stands for no address: "));
}

TEST_CASE("the port of a bound socket is known") {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const HostAddress host = find_address("127.0.0.1", 0);
  REQUIRE(::bind(socket.get(), host.generic(), host.length) == 0);
  CHECK(port_of(socket.get()) != 0);
  CHECK(port_of(-1) == 0);
}

}  // namespace vireo::dev
