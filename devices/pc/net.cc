#include "devices/pc/net.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "devices/pc/rate.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::pc {

namespace {

using dev::SocketNetConfig, dev::TapConfig, dev::UserNetConfig, dev::Vhost;

constexpr std::string_view kForms =
    "user, tap=NAME, tap, bridge=NAME, fd=N, socket=unix:PATH or none";
constexpr uint16_t kLeastMtu = 68, kMostMtu = 65521;  // the largest that libslirp and passt know
constexpr std::string_view kUnix = "unix:";

template <class Forward>
std::vector<std::string> texts_of(const std::vector<Forward>& forwards) {
  std::vector<std::string> texts;
  for (const Forward& forward : forwards) texts.push_back(to_string(forward));
  return texts;
}

void add_user(Keys& keys, UserNetConfig& user) {
  keys.word(
          {"user", "",
           "the host's networks, without any privileges. The guest gets 10.0.2.15 by DHCP, the "
           "host is 10.0.2.2, the name server 10.0.2.3"},
          [](const std::string& text) {
            if (text != "on" && text != "true") throw ConfigError("write user, without a value");
          },
          [] { return "on"; })
      .alone([] {})
      .list(
          {"hostfwd", "tcp:127.0.0.1:2222-:22",
           "the host's port leads to the guest's (or udp:); also "
           "tcp:localhost:8000-8010-:8000-8010, "
           "tcp:[::1]:2222-:22, or port 0, for which the host chooses one that is printed"},
          [&user](const std::string& text) {
            user.host_forwards.push_back(dev::parse_host_forward(text));
          },
          [&user] { return texts_of(user.host_forwards); })
      .list(
          {"guestfwd", "tcp:10.0.2.100:80-unix:PATH",
           "and the other way round: to a socket, or -cmd:COMMAND"},
          [&user](const std::string& text) {
            user.guest_forwards.push_back(dev::parse_guest_forward(text));
          },
          [&user] { return texts_of(user.guest_forwards); })
      .flag({"restrict", "on", "nothing else gets out"}, user.restricted)
      .text({"hostname", "NAME", "what DHCP calls the guest"}, user.hostname)
      .flag({"ipv6", "off", "IPv4 only"}, user.ipv6)
      .text({"tftp", "DIRECTORY", "a directory that the guest can fetch files from"}, user.tftp);
}

// "3:4:5"
std::vector<int> parse_fds(std::string_view text) {
  constexpr uint64_t kMost = 1 << 20;
  std::vector<int> fds;
  while (true) {
    const size_t colon = text.find(':');
    fds.push_back(static_cast<int>(parse_number("", text.substr(0, colon), 3, kMost)));
    if (colon == std::string_view::npos) return fds;
    text.remove_prefix(colon + 1);
  }
}

void add_tap(Keys& keys, TapConfig& tap) {
  keys.text({"tap", "NAME",
             "a TAP that is there, yours or with CAP_NET_ADMIN; without a name, one "
             "that is made, and removed at the end"},
            tap.name);
  if (tap.bridge.empty() && tap.fds.empty()) keys.alone([] {});
  keys.text({"bridge", "NAME", "the same, put into a bridge"}, tap.bridge)
      .word(
          {"fd", "N", "a TAP that the caller has opened; N:N:… for one with several queues"},
          [&tap](const std::string& text) { tap.fds = parse_fds(text); },
          [&tap] { return fmt::format("{}", fmt::join(tap.fds, ":")); })
      .word(
          {"create", "on", "make it, and remove it at the end, although it has a name"},
          [&tap](const std::string& text) { tap.create = parse_flag(text); },
          [&tap] { return tap.create ? *tap.create ? "on" : "off" : ""; })
      .number({"queues", "N", "that many pairs of queues, up to 16 (1)"}, tap.queues, 1, 16)
      .choice<Vhost>(
          {"vhost", "auto|on|off",
           "the host's kernel carries the frames: where it can, always, or never (auto)"},
          tap.vhost, {{"auto", Vhost::automatic}, {"on", Vhost::on}, {"off", Vhost::off}});
}

void set_socket(SocketNetConfig& socket, const std::string& text) {
  if (!text.starts_with(kUnix) || text.size() == kUnix.size()) throw ConfigError("write unix:PATH");
  socket.path = text.substr(kUnix.size());
}

void add_socket(Keys& keys, SocketNetConfig& socket) {
  using Framing = SocketNetConfig::Framing;
  keys.word(
          {"socket", "unix:PATH", "passt, or QEMU's -netdev stream"},
          [&socket](const std::string& text) { set_socket(socket, text); },
          [&socket] { return fmt::format("{}{}", kUnix, socket.path); })
      .choice<Framing>({"framing", "stream|datagram", "datagram: each frame is one (stream)"},
                       socket.framing,
                       {{"stream", Framing::stream}, {"datagram", Framing::datagram}})
      .text(
          {"local", "PATH", "of framing=datagram: our end's socket, where the other end sends to"},
          socket.local);
}

void add_common(Keys& keys, NetInterface& interface) {
  keys.text({"id", "NAME", "what the interface is called (net0, net1, …)"}, interface.id)
      .word(
          {"mac", "52:54:…", "its address (made of --name and its place)"},
          [&interface](const std::string& text) { interface.mac = dev::parse_mac(text); },
          [&interface] { return interface.mac ? dev::to_string(*interface.mac) : ""; })
      .number({"mtu", "N", "the longest packet, in bytes (what the network says)"}, interface.mtu,
              kLeastMtu, kMostMtu);
  add_rate(keys, {"bps", "bps-burst", "bps-burst-length"}, "SIZE",
           "at most that many bytes a second each way, with bursts as of --disk",
           interface.rates.bps);
  add_rate(keys, {"pps", "pps-burst", "pps-burst-length"}, "N",
           "at most that many frames a second each way", interface.rates.pps);
}

struct AddKeys {
  Keys& keys;
  void operator()(UserNetConfig& user) const { add_user(keys, user); }
  void operator()(TapConfig& tap) const { add_tap(keys, tap); }
  void operator()(SocketNetConfig& socket) const { add_socket(keys, socket); }
};

// By the key that says what kind of network it is.
std::optional<dev::NetSpec> kind_of(const Pair& pair) {
  const auto& [name, value] = pair;
  if (name == "user") return UserNetConfig{};
  if (name == "tap" || ((name == "bridge" || name == "fd") && value)) return TapConfig{};
  if (name == "socket" && value) return SocketNetConfig{};
  return std::nullopt;
}

void check_tap(std::string_view of, const TapConfig& tap, const dev::NetRates& rates) {
  if (tap.vhost == Vhost::on && rates.any())
    throw ConfigError(
        fmt::format("{}: vhost=on keeps to no limits: leave bps= and pps= out, or vhost=on", of));
  if (tap.fds.empty()) return;
  if (!tap.name.empty() || !tap.bridge.empty() || tap.create)
    throw ConfigError(
        fmt::format("{}: fd= names a TAP that is open: leave tap=, bridge= and create= out", of));
  if (tap.queues != 1 && tap.queues != tap.fds.size())
    throw ConfigError(
        fmt::format("{}: queues={} takes as many descriptors: fd=N:N:…", of, tap.queues));
}

}  // namespace

NetInterface interface_for(std::string_view of, const std::vector<Pair>& pairs) {
  for (const Pair& pair : pairs)
    if (auto kind = kind_of(pair)) return {.network = std::move(*kind)};
  const std::string first = pairs.empty() ? "" : pairs.front().first;
  throw ConfigError(fmt::format("{}: '{}' is no network: write {}", of, first, kForms));
}

NetInterface fresh(const NetInterface& interface) {
  return {
      .network = std::visit(
          [](const auto& kind) -> dev::NetSpec { return std::remove_cvref_t<decltype(kind)>{}; },
          interface.network)};
}

Keys keys_of(NetInterface& interface) {
  Keys keys;
  std::visit(AddKeys{keys}, interface.network);
  add_common(keys, interface);
  return keys;
}

void check(std::string_view of, const NetInterface& interface) {
  check_rate_limit(interface.rates.bps, fmt::format("{}: bps", of));
  check_rate_limit(interface.rates.pps, fmt::format("{}: pps", of));
  if (const auto* const tap = std::get_if<TapConfig>(&interface.network))
    check_tap(of, *tap, interface.rates);
  if (const auto* const socket = std::get_if<SocketNetConfig>(&interface.network))
    if (socket->framing == SocketNetConfig::Framing::stream && !socket->local.empty())
      throw ConfigError(fmt::format("{}: local= is for framing=datagram", of));
}

dev::NetSpec network_of(const NetInterface& interface) {
  dev::NetSpec network = interface.network;
  if (auto* const user = std::get_if<UserNetConfig>(&network);
      user != nullptr && interface.mtu != 0)
    user->mtu = interface.mtu;
  if (auto* const tap = std::get_if<TapConfig>(&network)) tap->mtu = interface.mtu;
  return network;
}

dev::MacAddress default_mac(const std::string& machine, const dev::NetBackend& network,
                            size_t index) {
  if (!machine.empty()) return dev::derive_mac(machine, index);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return dev::derive_mac(fmt::format("{} {}", host.data(), network.description()), index);
}

namespace {

// What `ask` says of the keys of all kinds.
template <class Ask>
auto of_all_kinds(Ask ask) {
  UserNetConfig user;
  TapConfig tap;
  SocketNetConfig socket;
  NetInterface interface;
  Keys keys;
  add_user(keys, user);
  add_tap(keys, tap);
  add_socket(keys, socket);
  add_common(keys, interface);
  return ask(keys);
}

}  // namespace

std::string net_help() {
  return of_all_kinds([](const Keys& keys) { return keys.help(); });
}

std::vector<Keys::Description> net_keys() {
  return of_all_kinds([](const Keys& keys) { return keys.describe(); });
}

}  // namespace vireo::pc
