#include "devices/net/host_address.h"

#include <netdb.h>

#include <cstring>
#include <memory>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

template <class Address>
HostAddress stored(const Address& address) {
  HostAddress host{.length = sizeof(address)};
  std::memcpy(&host.storage, &address, sizeof(address));
  return host;
}

HostAddress ipv4(in_addr address, uint16_t port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_addr = address;
  four.sin_port = htons(port);
  return stored(four);
}

HostAddress ipv6(const in6_addr& address, uint16_t port) {
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_addr = address;
  six.sin6_port = htons(port);
  return stored(six);
}

struct Lookup {
  int error;
  std::optional<HostAddress> found{};
};

Lookup look_up(const std::string& name, int family, uint16_t port) {
  const addrinfo hints{.ai_family = family, .ai_socktype = SOCK_STREAM};
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  if (error != 0) return {.error = error};
  HostAddress host{.length = list->ai_addrlen};
  std::memcpy(&host.storage, list->ai_addr, list->ai_addrlen);
  set_port(host, port);
  return {.error = 0, .found = host};
}

}  // namespace

std::optional<HostAddress> parse_address(const std::string& text, uint16_t port) {
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) return ipv4(four, port);
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) == 1) return ipv6(six, port);
  return std::nullopt;
}

HostAddress any_address(int family, uint16_t port) {
  return family == AF_INET ? ipv4({}, port) : ipv6({}, port);
}

HostAddress find_address(const std::string& host, uint16_t port) {
  if (host.empty()) return any_address(AF_INET, port);
  if (const auto address = parse_address(host, port)) return *address;
  const Lookup four = look_up(host, AF_INET, port);
  if (four.found) return *four.found;
  const Lookup six = look_up(host, AF_INET6, port);
  if (six.found) return *six.found;
  throw ConfigError(
      fmt::format("the name '{}' stands for no address: {}", host, ::gai_strerror(four.error)));
}

// Both families have it in the same place (RFC 3493, 3.3).
void set_port(HostAddress& address, uint16_t port) noexcept {
  reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
}

uint16_t port_of(int socket) {
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) != 0) return 0;
  return ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
}

}  // namespace vireo::dev
