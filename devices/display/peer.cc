#include "devices/display/peer.h"

#include <netdb.h>

#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>

namespace vireo::display {

namespace {

std::string numeric(int family, const void* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family, address, text.data(), text.size());
  return text.data();
}

std::string origin_of_v6(in6_addr address) {
  constexpr size_t kMapped = 12, kNetwork = 8;  // bytes
  if (IN6_IS_ADDR_V4MAPPED(&address)) return numeric(AF_INET, address.s6_addr + kMapped);
  std::memset(address.s6_addr + kNetwork, 0, sizeof(address) - kNetwork);
  return numeric(AF_INET6, &address) + "/64";
}

std::string user_of(int socket) {
  ucred user{};
  socklen_t length = sizeof(user);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &user, &length) != 0) return "some user";
  return fmt::format("uid {}", user.uid);
}

std::string origin_of(int socket, const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof(v4));
    return numeric(AF_INET, &v4.sin_addr);
  }
  if (address.ss_family != AF_INET6) return user_of(socket);
  sockaddr_in6 v6;
  std::memcpy(&v6, &address, sizeof(v6));
  return origin_of_v6(v6.sin6_addr);
}

}  // namespace

std::string describe_address(const sockaddr_storage& address, socklen_t length) {
  std::array<char, INET6_ADDRSTRLEN> host{};
  std::array<char, 6> port{};
  if (address.ss_family == AF_UNIX ||
      ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host.data(), host.size(),
                    port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  const bool v6 = address.ss_family == AF_INET6;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", host.data(), v6 ? "]" : "", port.data());
}

Peer peer_of(int socket, const sockaddr_storage& address, socklen_t length) {
  const std::string text = describe_address(address, length);
  return {.text = text.empty() ? "a viewer on the unix socket" : text,
          .origin = origin_of(socket, address)};
}

}  // namespace vireo::display
