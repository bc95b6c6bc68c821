#include "devices/net/user_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

#include <arpa/inet.h>
#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

// The part before the separator; the separator is gone from `rest`, too.
std::optional<std::string_view> cut(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return part;
}

bool starts_with_protocol(std::string_view text, std::string_view protocol) {
  return text.substr(0, protocol.size()) == protocol && text.substr(protocol.size(), 1) == ":";
}

bool is_address(int family, std::string_view text) {
  in6_addr address{};
  return ::inet_pton(family, std::string(text).c_str(), &address) == 1;
}

// RFC 1123, 2.1, and the underscores that there are all the same.
bool is_name(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
}

std::string range(uint16_t first, uint16_t count) {
  return count == 1 ? fmt::format("{}", first) : fmt::format("{}-{}", first, first + count - 1);
}

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
}

// What goes wrong in these is told in one way: what it is, and how it is written.
class Reader {
 public:
  Reader(std::string_view what, std::string_view text, std::string_view form)
      : what_(what), text_(text), form_(form), rest_(text) {}

  [[noreturn]] void fail(const std::string& why) const {
    throw ConfigError(fmt::format("{}={}: {}: write {}", what_, text_, why, form_));
  }
  bool skip(std::string_view protocol) {
    if (!starts_with_protocol(rest_, protocol)) return false;
    rest_.remove_prefix(protocol.size() + 1);
    return true;
  }
  in_addr address(char end) {
    const auto text = cut(rest_, end);
    if (!text) fail(fmt::format("there is no '{}' after the address", end));
    in_addr address{};
    if (!text->empty() && ::inet_pton(AF_INET, std::string(*text).c_str(), &address) != 1)
      fail(fmt::format("'{}' is not an IPv4 address", *text));
    return address;
  }
  // An IPv4 address, a name, or an IPv6 address in brackets, which are taken off; empty: none.
  std::string host(char end) {
    if (rest_.starts_with('[')) return bracketed_address(end);
    const auto text = cut(rest_, end);
    if (!text) fail(fmt::format("there is no '{}' after the address", end));
    const bool numeric = text->find_first_not_of("0123456789.") == std::string_view::npos;
    if (!text->empty() && numeric && !is_address(AF_INET, *text))
      fail(fmt::format("'{}' is not an IPv4 address", *text));
    if (!is_name(*text)) fail(fmt::format("'{}' is not an address, nor a name", *text));
    return std::string(*text);
  }
  uint16_t port(std::string_view text, uint16_t least = 1) const {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port < least)
      fail(fmt::format("'{}' is not a port from {} to 65535", text, least));
    return port;
  }
  struct Ports {
    uint16_t first = 0;
    uint16_t count = 1;
  };
  // "22" or "8000-8010".
  Ports ports(std::string_view text, uint16_t least) const {
    const auto first = cut(text, '-');
    if (!first) return {.first = port(text, least)};
    const Ports ports{.first = port(*first)};
    const uint16_t last = port(text);
    if (last < ports.first) fail(fmt::format("the ports {}-{} run backwards", *first, text));
    return {.first = ports.first, .count = static_cast<uint16_t>(last - ports.first + 1)};
  }
  // Those of the host's, up to the '-' before the guest's address: what is behind the first one is
  // a second port when another '-' ends it.
  Ports host_ports() {
    const size_t dash = rest_.find('-');
    if (dash == std::string_view::npos) fail("there is no '-' after the port");
    const size_t end = rest_.find_first_not_of("0123456789", dash + 1);
    const bool range = end != dash + 1 && end != std::string_view::npos && rest_[end] == '-';
    const std::string_view text = rest_.substr(0, range ? end : dash);
    rest_.remove_prefix(text.size() + 1);
    return ports(text, 0);
  }
  uint16_t port_before(char end) {
    const auto text = cut(rest_, end);
    if (!text) fail(fmt::format("there is no '{}' after the port", end));
    return port(*text);
  }
  std::string_view rest() const noexcept { return rest_; }

 private:
  std::string bracketed_address(char end) {
    rest_.remove_prefix(1);
    const auto text = cut(rest_, ']');
    if (!text) fail("there is no ']' after the address");
    if (!is_address(AF_INET6, *text)) fail(fmt::format("'{}' is not an IPv6 address", *text));
    if (!rest_.starts_with(end)) fail(fmt::format("there is no '{}' after the address", end));
    rest_.remove_prefix(1);
    return std::string(*text);
  }

  std::string_view what_;
  std::string_view text_;
  std::string_view form_;
  std::string_view rest_;
};

}  // namespace

HostForward parse_host_forward(std::string_view text) {
  Reader reader("hostfwd", text,
                "[tcp|udp]:[HOST]:PORT[-LAST]-[GUEST-ADDRESS]:PORT[-LAST], IPv6 addresses in []");
  HostForward forward;
  forward.udp = reader.skip("udp");
  if (!forward.udp && !reader.skip("tcp") && !reader.skip(""))
    reader.fail("it does not begin with tcp or udp");
  forward.host = reader.host(':');
  const Reader::Ports host = reader.host_ports();
  forward.guest = reader.host(':');
  if (!forward.guest.empty() && !is_address(AF_INET, forward.guest) &&
      !is_address(AF_INET6, forward.guest))
    reader.fail(
        fmt::format("'{}' is not an address: the guest's names are unknown", forward.guest));
  const Reader::Ports guest = reader.ports(reader.rest(), 1);
  if (host.count != guest.count)
    reader.fail(fmt::format("{} ports of the host's cannot lead to {} of the guest's", host.count,
                            guest.count));
  forward.host_port = host.first;
  forward.guest_port = guest.first;
  forward.count = host.count;
  return forward;
}

std::string to_string(const HostForward& forward) {
  return fmt::format("{}:{}:{}-{}:{}", forward.udp ? "udp" : "tcp", bracketed(forward.host),
                     range(forward.host_port, forward.count), bracketed(forward.guest),
                     range(forward.guest_port, forward.count));
}

GuestForward parse_guest_forward(std::string_view text) {
  Reader reader("guestfwd", text, "[tcp]:SERVER-ADDRESS:PORT-unix:PATH or …-cmd:COMMAND");
  GuestForward forward;
  if (!reader.skip("tcp") && !reader.skip("")) reader.fail("it does not begin with tcp");
  forward.server = reader.address(':');
  if (forward.server.s_addr == 0) reader.fail("the server's address is missing");
  forward.port = reader.port_before('-');
  if (reader.skip("cmd"))
    forward.kind = GuestForward::Kind::command;
  else if (!reader.skip("unix"))
    reader.fail("it leads to unix: or cmd:");
  forward.target = reader.rest();
  if (forward.target.empty()) reader.fail("it leads nowhere");
  return forward;
}

std::string to_string(const GuestForward& forward) {
  std::array<char, INET_ADDRSTRLEN> server{};
  ::inet_ntop(AF_INET, &forward.server, server.data(), server.size());
  return fmt::format("tcp:{}:{}-{}:{}", server.data(), forward.port,
                     forward.kind == GuestForward::Kind::command ? "cmd" : "unix", forward.target);
}

}  // namespace vireo::dev
