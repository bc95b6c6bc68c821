#include "tools/vireo/net_option.h"

#include <unistd.h>

#include <array>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "tools/vireo/parse.h"
#include "tools/vireo/rate_option.h"
#include "vmm/base/error.h"

namespace vireo::cli {

const char* const kNetHelp =
    R"(What --net connects an interface to:
  user          the host's networks, without any privileges. The guest gets 10.0.2.15 by DHCP, the
                host is 10.0.2.2, the name server 10.0.2.3.
                hostfwd=tcp:127.0.0.1:2222-:22   the host's port leads to the guest's (or udp:);
                hostfwd=tcp:localhost:8000-8010-:8000-8010, tcp:[::1]:2222-:22, or port 0, for
                which the host chooses one that is printed;
                guestfwd=tcp:10.0.2.100:80-unix:PATH (or -cmd:COMMAND)   and the other way round;
                restrict=on   nothing else gets out; hostname=NAME; ipv6=off; tftp=DIRECTORY
  tap=NAME      a TAP that is there, yours or with CAP_NET_ADMIN; queues=N; vhost=auto|on|off
  tap           a TAP that is made, and removed at the end; so is tap=NAME,create=on
  bridge=NAME   the same, put into a bridge
  fd=N          a TAP that the caller has opened; fd=N:N:… for one with several queues
  socket=unix:PATH   passt, or QEMU's -netdev stream; framing=datagram[,local=PATH]
All take id=NAME, mac=52:54:…, mtu=N, and limits each way: bps=SIZE (bytes), pps=N,
with KEY-burst= and KEY-burst-length= as of --disk.
)";

namespace {

constexpr const char* kForms = "user, tap=NAME, tap, bridge=NAME, fd=N, socket=unix:PATH or none";

KeyValues read_keys(const std::string& text, std::vector<std::string_view> own,
                    std::vector<std::string_view> repeatable = {}) {
  own.insert(own.end(), {"id", "mac", "mtu", "bps", "bps-burst", "bps-burst-length", "pps",
                         "pps-burst", "pps-burst-length"});
  return KeyValues("--net", text, "kind", std::move(own), std::move(repeatable));
}

// What all networks have, and the rest by its own parser.
NetOption parse_common(const KeyValues& keys, size_t index) {
  NetOption net;
  net.id = keys.get("id", fmt::format("net{}", index));
  if (const auto mac = keys.find("mac"))
    net.mac = with_context("--net", [&] { return dev::parse_mac(*mac); });
  // The largest that libslirp and passt know.
  if (const auto mtu = keys.find("mtu"))
    net.mtu = static_cast<uint16_t>(parse_number("--net: mtu", *mtu, 68, 65521));
  net.rates = {parse_rate("--net", keys, "bps", true), parse_rate("--net", keys, "pps", false)};
  return net;
}

NetOption parse_user(const std::string& text, size_t index) {
  const KeyValues keys =
      read_keys(text, {"hostname", "ipv6", "restrict", "tftp"}, {"hostfwd", "guestfwd"});
  NetOption net = parse_common(keys, index);
  dev::UserNetConfig user;
  user.hostname = keys.get("hostname", "");
  user.ipv6 = keys.flag("ipv6", true);
  user.restricted = keys.flag("restrict", false);
  user.tftp = keys.get("tftp", "");
  if (net.mtu != 0) user.mtu = net.mtu;
  with_context("--net", [&] {
    for (const std::string& forward : keys.all("hostfwd"))
      user.host_forwards.push_back(dev::parse_host_forward(forward));
    for (const std::string& forward : keys.all("guestfwd"))
      user.guest_forwards.push_back(dev::parse_guest_forward(forward));
  });
  net.network = std::move(user);
  return net;
}

dev::Vhost parse_vhost(const std::string& text) {
  if (text == "auto") return dev::Vhost::automatic;
  if (text == "on") return dev::Vhost::on;
  if (text == "off") return dev::Vhost::off;
  throw ConfigError(fmt::format("--net: vhost={}: it is auto, on or off", text));
}

// "3:4:5"
std::vector<int> parse_fds(std::string_view text) {
  std::vector<int> fds;
  while (true) {
    const size_t colon = text.find(':');
    fds.push_back(static_cast<int>(parse_number("--net: fd", text.substr(0, colon), 3, 1 << 20)));
    if (colon == std::string_view::npos) return fds;
    text.remove_prefix(colon + 1);
  }
}

NetOption parse_tap(const std::string& text, size_t index) {
  const KeyValues keys = read_keys(text, {"tap", "bridge", "fd", "create", "queues", "vhost"});
  NetOption net = parse_common(keys, index);
  dev::TapConfig tap;
  tap.name = keys.get("tap", "");
  tap.bridge = keys.get("bridge", "");
  if (const auto fds = keys.find("fd")) tap.fds = parse_fds(*fds);
  tap.create = keys.flag("create", tap.name.empty() || !tap.bridge.empty());
  tap.queues = static_cast<uint16_t>(parse_number("--net: queues", keys.get("queues", "1"), 1, 16));
  tap.mtu = net.mtu;
  tap.vhost = parse_vhost(keys.get("vhost", "auto"));
  if (tap.vhost == dev::Vhost::on && net.rates.any())
    throw ConfigError("--net: vhost=on keeps to no limits: leave bps= and pps= out, or vhost=on");
  if (!tap.fds.empty() && (keys.find("tap") || keys.find("bridge") || keys.find("create")))
    throw ConfigError("--net: fd= names a TAP that is open: leave tap=, bridge= and create= out");
  if (!tap.fds.empty() && keys.find("queues") && tap.queues != tap.fds.size())
    throw ConfigError(
        fmt::format("--net: queues={} takes as many descriptors: fd=N:N:…", tap.queues));
  net.network = std::move(tap);
  return net;
}

NetOption parse_socket(const std::string& text, size_t index) {
  const KeyValues keys = read_keys(text, {"socket", "framing", "local"});
  NetOption net = parse_common(keys, index);
  dev::SocketNetConfig socket;
  const std::string address = keys.need("socket");
  constexpr std::string_view kUnix = "unix:";
  if (!address.starts_with(kUnix) || address.size() == kUnix.size())
    throw ConfigError(fmt::format("--net: socket={}: write unix:PATH", address));
  socket.path = address.substr(kUnix.size());
  socket.local = keys.get("local", "");
  const std::string framing = keys.get("framing", "stream");
  if (framing != "stream" && framing != "datagram")
    throw ConfigError(fmt::format("--net: framing={}: it is stream or datagram", framing));
  if (framing == "datagram") socket.framing = dev::SocketNetConfig::Framing::datagram;
  if (framing == "stream" && !socket.local.empty())
    throw ConfigError("--net: local= is for framing=datagram");
  net.network = std::move(socket);
  return net;
}

// The word that says what kind of network it is comes first.
NetOption parse_net(const std::string& text, size_t index) {
  const std::string kind = text.substr(0, text.find_first_of("=,"));
  const bool named = text.substr(kind.size(), 1) == "=";
  if (kind == "user" && !named) return parse_user(text, index);
  if (kind == "tap" || ((kind == "bridge" || kind == "fd") && named)) return parse_tap(text, index);
  if (kind == "socket" && named) return parse_socket(text, index);
  throw ConfigError(fmt::format("--net: '{}' is no network: write {}", text, kForms));
}

}  // namespace

std::vector<NetOption> parse_nets(const std::vector<std::string>& texts) {
  std::vector<NetOption> nets;
  std::set<std::string> ids;
  std::set<dev::MacAddress> macs;
  for (const std::string& text : texts) {
    if (text == "none") {
      if (texts.size() > 1) throw ConfigError("--net: 'none' and another network contradict");
      continue;
    }
    nets.push_back(parse_net(text, nets.size()));
    const NetOption& net = nets.back();
    if (!ids.insert(net.id).second)
      throw ConfigError(fmt::format("--net: two interfaces have the id '{}'", net.id));
    if (net.mac && !macs.insert(*net.mac).second)
      throw ConfigError(
          fmt::format("--net: two interfaces have the MAC address {}", dev::to_string(*net.mac)));
  }
  return nets;
}

dev::MacAddress default_mac(const std::string& machine, const dev::NetBackend& network,
                            size_t index) {
  if (!machine.empty()) return dev::derive_mac(machine, index);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return dev::derive_mac(fmt::format("{} {}", host.data(), network.description()), index);
}

}  // namespace vireo::cli
