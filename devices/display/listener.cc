#include "devices/display/listener.h"

#include <netdb.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "vmm/base/error.h"

namespace vireo::display {

namespace {

constexpr std::string_view kUnix = "unix:";
constexpr std::chrono::seconds kAcceptRetry{1};
constexpr int kAcceptedAtOnce = 16;
// A viewer whose machine is gone is noticed after this long, in milliseconds.
constexpr unsigned kUserTimeout = 120'000;

[[noreturn]] void refuse(const std::string& text) {
  throw ConfigError(
      fmt::format("'{}' is no address: give HOST:PORT, [IPV6]:PORT or unix:PATH", text));
}

const sockaddr* generic(const sockaddr_storage& address) noexcept {
  return reinterpret_cast<const sockaddr*>(&address);
}
sockaddr* generic(sockaddr_storage& address) noexcept {
  return reinterpret_cast<sockaddr*>(&address);
}

void resolve(Endpoint& endpoint, const std::string& port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0)
    throw ConfigError(fmt::format("cannot find the address of '{}' in '{}': {}", endpoint.host,
                                  endpoint.text, ::gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, ::freeaddrinfo);
  std::memcpy(&endpoint.address, found->ai_addr, found->ai_addrlen);
  endpoint.length = found->ai_addrlen;
}

UniqueFd listen_on(const Endpoint& endpoint) {
  UniqueFd socket(
      ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno(fmt::format("cannot make a socket for '{}'", endpoint.text));
  // The port is free again as soon as nobody listens there.
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(socket.get(), generic(endpoint.address), endpoint.length) == 0 &&
      ::listen(socket.get(), SOMAXCONN) == 0)
    return socket;
  if (errno == EADDRINUSE)
    throw ConfigError(fmt::format("another program listens on '{}': stop it or choose another port",
                                  endpoint.text));
  throw_errno(fmt::format("cannot listen on '{}'", endpoint.text));
}

// Small answers go out at once, and who is gone is noticed.
void tune(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeout, sizeof(kUserTimeout));
}

}  // namespace

bool Endpoint::is_local() const noexcept {
  if (is_unix()) return true;
  if (address.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof(v4));
    return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &address, sizeof(v6));
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

Endpoint resolve_endpoint(const std::string& text) {
  Endpoint endpoint{.text = text, .unix_path = {}};
  if (text.starts_with(kUnix)) {
    endpoint.unix_path = text.substr(kUnix.size());
    if (endpoint.unix_path.empty()) refuse(text);
    return endpoint;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) refuse(text);
  endpoint.host = text.substr(0, colon);
  if (endpoint.host.front() == '[' && endpoint.host.back() == ']')
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  else if (endpoint.host.find(':') != std::string::npos)
    refuse(text);
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (error != std::errc() || parsed != end || endpoint.host.empty()) refuse(text);
  resolve(endpoint, text.substr(colon + 1));
  return endpoint;
}

Listener::Listener(const Endpoint& endpoint) : host_(endpoint.host) {
  if (endpoint.is_unix())
    unix_.emplace(endpoint.unix_path);
  else
    socket_ = listen_on(endpoint);
}

std::string Listener::address() const {
  if (unix_) return std::string(kUnix) + unix_->path();
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  ::getsockname(fd(), generic(address), &length);
  const std::string numeric = describe_address(address, length);
  const std::string port = numeric.substr(numeric.rfind(':'));
  return host_.find(':') == std::string::npos ? host_ + port : "[" + host_ + "]" + port;
}

void Listener::start(EventLoop& loop, Accept accept) {
  loop_ = &loop;
  accept_ = std::move(accept);
  wait();
}

void Listener::wait() {
  waiting_ = loop_->watch(fd(), EPOLLIN, [this](uint32_t) { accept_some(); });
}

// Without resources a connection stays in the queue and would be reported for ever.
void Listener::accept_some() {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    UniqueFd socket(::accept4(fd(), generic(address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      tune(socket.get());
      Peer peer = peer_of(socket.get(), address, length);
      accept_(std::move(socket), std::move(peer));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      waiting_ = loop_->after(kAcceptRetry, [this] { wait(); });
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

}  // namespace vireo::display
