#include "devices/net/tap_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>
#include <net/if.h>

#include "devices/net/header.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

// Of a TAP: with the Ethernet header it has 16 bits.
constexpr int kLargestMtu = 65521;

// What makes a TAP that its user needs no privileges for.
std::string owners_command(const std::string& name, uint16_t queues) {
  return fmt::format("ip tuntap add {} mode tap user \"$USER\"{}", name,
                     queues > 1 ? " multi_queue" : "");
}

ifreq request_for(const std::string& name) {
  if (name.size() >= IFNAMSIZ || name.find('/') != std::string::npos)
    throw ConfigError(fmt::format(
        "'{}' can not be an interface's name: it has at most {} characters", name, IFNAMSIZ - 1));
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  return request;
}

// An ioctl on the interfaces of this network namespace.
class Interfaces {
 public:
  Interfaces() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (!socket_) throw_errno("cannot make a socket to look at interfaces");
  }
  bool change(unsigned long command, ifreq& request) const {
    return ::ioctl(socket_.get(), command, &request) == 0;
  }
  bool exists(const std::string& name) const {
    ifreq request = request_for(name);
    return change(SIOCGIFFLAGS, request);
  }
  uint16_t mtu(const std::string& name) const {
    ifreq request = request_for(name);
    if (!change(SIOCGIFMTU, request)) return 1500;
    return static_cast<uint16_t>(std::clamp(request.ifr_mtu, 68, kLargestMtu));
  }

 private:
  UniqueFd socket_;
};

UniqueFd open_tun() {
  UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (tun) return tun;
  if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
    throw ConfigError("this host has no /dev/net/tun, which TAPs come from: 'modprobe tun'");
  throw_errno("cannot open /dev/net/tun");
}

// errno of attaching one more queue to the interface, or 0.
int attach(const UniqueFd& tun, ifreq request, short flags) {
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags);
  return ::ioctl(tun.get(), TUNSETIFF, &request) == 0 ? 0 : errno;
}

[[noreturn]] void refuse_existing(const TapConfig& config, int error) {
  const std::string& name = config.name;
  const std::string command = owners_command("NAME", config.queues);
  switch (error) {
    case EBUSY:
      throw ConfigError(fmt::format("the TAP '{}' is in use: another process has it open", name));
    case EPERM:
      throw ConfigError(
          fmt::format("no permission to use the TAP '{}', which is another user's: make one of "
                      "your own with '{}'",
                      name, command));
    case EINVAL:
      throw ConfigError(fmt::format("'{}' is not a TAP{}: make one with '{}'", name,
                                    config.queues > 1 ? ", or not one with several queues" : "",
                                    command));
    case E2BIG:
      throw ConfigError(fmt::format("the TAP '{}' has no {} free queues", name, config.queues));
    default:
      throw_errno(fmt::format("cannot use the TAP '{}'", name), error);
  }
}

// Those with several queues say so on each, even when only one is used.
void attach_existing(TapDevice& tap, const TapConfig& config) {
  const ifreq request = request_for(config.name);
  short flags = config.queues > 1 ? IFF_MULTI_QUEUE : 0;
  for (uint16_t i = 0; i < config.queues; ++i) {
    UniqueFd queue = open_tun();
    int error = attach(queue, request, flags);
    if (error == EINVAL && flags == 0) error = attach(queue, request, flags = IFF_MULTI_QUEUE);
    if (error != 0) refuse_existing(config, error);
    tap.queues.push_back(std::move(queue));
  }
}

void create(TapDevice& tap, const TapConfig& config) {
  ifreq request = request_for(config.name.empty() ? "vireo%d" : config.name);
  const short flags = config.queues > 1 ? IFF_MULTI_QUEUE : 0;
  for (uint16_t i = 0; i < config.queues; ++i) {
    UniqueFd queue = open_tun();
    const int error = attach(queue, request, flags);
    if (error == EPERM)
      throw ConfigError(fmt::format(
          "no permission to make a TAP, which takes CAP_NET_ADMIN: have '{}' done for you, and use "
          "tap=NAME",
          owners_command("NAME", config.queues)));
    if (error != 0) throw_errno("cannot make a TAP", error);
    if (::ioctl(queue.get(), TUNGETIFF, &request) != 0) throw_errno("cannot look at the TAP made");
    tap.queues.push_back(std::move(queue));
  }
  tap.name = request.ifr_name;
}

void join_bridge(const Interfaces& interfaces, const std::string& tap, const std::string& bridge) {
  ifreq request = request_for(bridge);
  request.ifr_ifindex = static_cast<int>(::if_nametoindex(tap.c_str()));
  if (interfaces.change(SIOCBRADDIF, request)) return;
  if (errno == EOPNOTSUPP) throw ConfigError(fmt::format("'{}' is not a bridge", bridge));
  throw_errno(fmt::format("cannot put the TAP '{}' into the bridge '{}'", tap, bridge));
}

// A bridge takes the lowest address among its ports for its own: with this first byte it is not
// ours, which come and go.
void set_high_address(const Interfaces& interfaces, const std::string& tap) {
  ifreq request = request_for(tap);
  if (!interfaces.change(SIOCGIFHWADDR, request)) return;
  request.ifr_hwaddr.sa_data[0] = static_cast<char>(0xfe);
  interfaces.change(SIOCSIFHWADDR, request);
}

void bring_up(const Interfaces& interfaces, const TapDevice& tap, const TapConfig& config) {
  ifreq request = request_for(tap.name);
  if (config.mtu != 0 || !config.bridge.empty()) {
    request.ifr_mtu = config.mtu != 0 ? config.mtu : interfaces.mtu(config.bridge);
    if (!interfaces.change(SIOCSIFMTU, request))
      throw_errno(
          fmt::format("cannot set the MTU of the TAP '{}' to {}", tap.name, request.ifr_mtu));
  }
  set_high_address(interfaces, tap.name);
  if (!config.bridge.empty()) join_bridge(interfaces, tap.name, config.bridge);
  request = request_for(tap.name);
  interfaces.change(SIOCGIFFLAGS, request);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (!interfaces.change(SIOCSIFFLAGS, request))
    throw_errno(fmt::format("cannot switch the TAP '{}' on", tap.name));
}

// Descriptors of the caller's: of a TAP, or of a macvtap.
void adopt(TapDevice& tap, const TapConfig& config) {
  for (const int fd : config.fds) {
    UniqueFd queue(fd);
    ifreq request{};
    if (::ioctl(fd, TUNGETIFF, &request) != 0 || (request.ifr_flags & IFF_TAP) == 0) {
      queue.release();
      throw ConfigError(fmt::format("fd={}: descriptor {} is not an open TAP", fd, fd));
    }
    if ((request.ifr_flags & IFF_NO_PI) == 0)
      throw ConfigError(fmt::format("fd={}: the TAP was opened without IFF_NO_PI", fd));
    const bool headers = (request.ifr_flags & IFF_VNET_HDR) != 0;
    if (!tap.queues.empty() && headers != tap.headers)
      throw ConfigError(fmt::format("fd={}: not all queues were opened with IFF_VNET_HDR", fd));
    tap.headers = headers;
    tap.name = request.ifr_name;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    tap.queues.push_back(std::move(queue));
  }
}

void use_headers(TapDevice& tap) {
  const int size = sizeof(NetHeader);
  for (const UniqueFd& queue : tap.queues)
    if (::ioctl(queue.get(), TUNSETVNETHDRSZ, &size) != 0)
      throw_errno(fmt::format("the TAP '{}' takes no headers of {} bytes", tap.name, size));
  const int first = tap.queues.front().get();
  tap.udp_offload = ::ioctl(first, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_UFO) == 0;
  ::ioctl(first, TUNSETOFFLOAD, 0);
}

// Takes no privilege.
UniqueFd changes_of_interfaces() {
  UniqueFd news(::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE));
  sockaddr_nl links{};
  links.nl_family = AF_NETLINK;
  links.nl_groups = RTMGRP_LINK;
  if (news && ::bind(news.get(), reinterpret_cast<const sockaddr*>(&links), sizeof(links)) != 0)
    news.reset();
  return news;
}

}  // namespace

TapDevice open_tap(const TapConfig& config) {
  const Interfaces interfaces;
  TapDevice tap{.name = config.name, .headers = true};
  if (!config.bridge.empty() && !interfaces.exists(config.bridge))
    throw ConfigError(
        fmt::format("there is no bridge '{0}': make one with 'ip link add {0} type "
                    "bridge'",
                    config.bridge));
  const bool exists = config.fds.empty() && !config.name.empty() && interfaces.exists(config.name);
  if (!config.fds.empty()) {
    adopt(tap, config);
  } else if (config.is_made()) {
    if (exists) throw ConfigError(fmt::format("there is already an interface '{}'", config.name));
    create(tap, config);
    bring_up(interfaces, tap, config);
  } else if (exists) {
    attach_existing(tap, config);
  } else {
    throw ConfigError(fmt::format(
        "there is no TAP '{0}': make it with '{1}', or have it made with tap={0},create=on",
        config.name, owners_command(config.name, config.queues)));
  }
  if (tap.headers) use_headers(tap);
  tap.mtu = interfaces.mtu(tap.name);
  if (config.vhost != Vhost::off) tap.changes = changes_of_interfaces();
  return tap;
}

}  // namespace vireo::dev
