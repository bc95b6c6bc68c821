#include "devices/net/user_config.h"

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
  uint16_t port(std::string_view text) const {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0)
      fail(fmt::format("'{}' is not a port from 1 to 65535", text));
    return port;
  }
  uint16_t port_before(char end) {
    const auto text = cut(rest_, end);
    if (!text) fail(fmt::format("there is no '{}' after the port", end));
    return port(*text);
  }
  std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view what_;
  std::string_view text_;
  std::string_view form_;
  std::string_view rest_;
};

}  // namespace

HostForward parse_host_forward(std::string_view text) {
  Reader reader("hostfwd", text, "[tcp|udp]:[HOST-ADDRESS]:HOST-PORT-[GUEST-ADDRESS]:GUEST-PORT");
  HostForward forward;
  forward.udp = reader.skip("udp");
  if (!forward.udp && !reader.skip("tcp") && !reader.skip(""))
    reader.fail("it does not begin with tcp or udp");
  forward.host = reader.address(':');
  forward.host_port = reader.port_before('-');
  forward.guest = reader.address(':');
  forward.guest_port = reader.port(reader.rest());
  return forward;
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

}  // namespace vireo::dev
