// A network that needs no privileges: libslirp is the gateway, the DHCP and DNS servers and the
// other end of all connections, which it carries on with sockets of this process.
//
// The guest sees 10.0.2.0/24: the gateway and host is .2, the name server .3, its own address .15;
// with IPv6 also fec0::/64, with ::2 and ::3.
//
// Thread: the loop's; nothing here blocks. libslirp's sockets are watched through an epoll
// descriptor of our own, which the loop watches; once in each turn in which libslirp had something
// to do it is asked what it waits for. What it sends to the guest is kept, bounded, until the guest
// takes it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "devices/net/backend.h"
#include "devices/net/user_config.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

namespace vireo::dev {

class UserNet final : public NetBackend {
 public:
  // So many connections, and so many sockets for datagrams, are open at once; fewer where the
  // process may have less than twice as many descriptors.
  static constexpr size_t kMostSockets = 1024;

  // Binds the ports; throws ConfigError naming the one that can not be.
  UserNet(std::string name, const UserNetConfig& config, Logger log = {});
  ~UserNet() override;

  const NetTraits& traits() const noexcept override { return traits_; }
  std::string description() const override { return "user"; }
  // "hostfwd=tcp:127.0.0.1:40123-:22" for each port that the host has chosen.
  std::vector<std::string> announcements() const override;
  // As they were asked for, each with its port.
  const std::vector<HostForward>& host_forwards() const noexcept;
  void open(EventLoop& loop, NetFrontend& frontend) override;
  void close() override;
  void set_offloads(const NetOffloads& to_guest) override;
  Sent send(uint16_t pair, const NetHeader& header, std::span<const iovec> frame) override;
  Received receive(uint16_t pair, std::span<const iovec> into) override;

 private:
  class Stack;
  const NetTraits traits_;
  const std::vector<HostForward> asked_;
  NetOffloads offloads_{};
  std::unique_ptr<Stack> stack_;
};

}  // namespace vireo::dev
