#include "devices/net/user_config.h"

#include <string>
#include <utility>

#include <arpa/inet.h>
#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::dev {
namespace {

std::string text_of(in_addr address) {
  return ::inet_ntoa(address);
}

}  // namespace

TEST_CASE("forwards of host ports are written as QEMU's") {
  const HostForward ssh = parse_host_forward("tcp:127.0.0.1:2222-:22");
  CHECK_FALSE(ssh.udp);
  CHECK(ssh.host == "127.0.0.1");
  CHECK(ssh.host_port == 2222);
  CHECK(ssh.guest.empty());
  CHECK(ssh.guest_port == 22);
  CHECK(ssh.count == 1);
  const HostForward dns = parse_host_forward("udp::5353-10.0.2.16:53");
  CHECK(dns.udp);
  CHECK(dns.host.empty());
  CHECK(dns.guest == "10.0.2.16");
  CHECK(parse_host_forward("::8080-:80").host_port == 8080);
}

TEST_CASE("forwards of host ports take IPv6, names, ranges and a port of the host's choice") {
  const HostForward six = parse_host_forward("tcp:[::1]:2222-[fec0::15]:22");
  CHECK(six.host == "::1");
  CHECK(six.host_port == 2222);
  CHECK(six.guest == "fec0::15");
  CHECK(parse_host_forward("tcp:localhost:2222-:22").host == "localhost");
  CHECK(parse_host_forward("tcp:my-host.example:2222-:22").host == "my-host.example");
  CHECK(parse_host_forward("tcp::0-:22").host_port == 0);
  const HostForward range = parse_host_forward("tcp:127.0.0.1:8000-8010-10.0.2.15:9000-9010");
  CHECK(range.host_port == 8000);
  CHECK(range.guest == "10.0.2.15");
  CHECK(range.guest_port == 9000);
  CHECK(range.count == 11);
  CHECK(parse_host_forward("tcp::65000-65535-:1-536").count == 536);
}

TEST_CASE("forwards of host ports are shown as they are read") {
  for (const char* text : {"tcp:127.0.0.1:2222-:22", "udp::5353-10.0.2.16:53",
                           "tcp:localhost:0-:22", "tcp:[::1]:8000-8010-[fec0::15]:9000-9010"}) {
    CHECK(to_string(parse_host_forward(text)) == text);
  }
}

TEST_CASE("forwards that make no sense are refused with what is wrong and their form") {
  const std::pair<const char*, const char*> mistakes[] = {
      {"", "does not begin with tcp or udp"},
      {"2222-:22", "does not begin with tcp or udp"},
      {"sctp::2222-:22", "does not begin with tcp or udp"},
      {"tcp:127.0.0.1:2222", "no '-' after the port"},
      {"tcp:127.0.0.1-:22", "no '-' after the port"},
      {"tcp:127.0.0:2222-:22", "'127.0.0' is not an IPv4 address"},
      {"tcp:a/b:2222-:22", "'a/b' is not an address, nor a name"},
      {"tcp:::1:2222-:22", "':1:2222' is not a port"},
      {"tcp:[::1:2222-:22", "no ']' after the address"},
      {"tcp:[localhost]:2222-:22", "'localhost' is not an IPv6 address"},
      {"tcp:[::1]2222-:22", "no ':' after the address"},
      {"tcp::65536-:22", "'65536' is not a port from 0 to 65535"},
      {"tcp::22x-:22", "'22x' is not a port"},
      {"tcp::2222-:", "'' is not a port from 1 to 65535"},
      {"tcp::2222-:0", "'0' is not a port from 1 to 65535"},
      {"tcp::2222-22", "no ':' after the address"},
      {"tcp::2222-:22-", "'' is not a port"},
      {"tcp::2222-guest:22", "'guest' is not an address"},
      {"tcp::0-5-:0-5", "'0' is not a port from 1 to 65535"},
      {"tcp::8010-8000-:8010-8000", "8010-8000 run backwards"},
      {"tcp::8000-8010-:80", "11 ports of the host's cannot lead to 1 of the guest's"},
      {"tcp::8000-:80-90", "1 ports of the host's cannot lead to 11 of the guest's"}};
  for (const auto& [text, why] : mistakes) {
    INFO(text);
    CHECK_THROWS_WITH(parse_host_forward(text), Catch::StartsWith("hostfwd=") &&
                                                    Catch::Contains(why) &&
                                                    Catch::Contains("PORT[-LAST]"));
  }
  for (const char* text :
       {"", "tcp:10.0.2.100:80", "tcp::80-unix:x", "tcp:10.0.2.100:80-file:x",
        "tcp:10.0.2.100:80-unix:", "udp:10.0.2.100:80-unix:x", "tcp:10.0.2.100:0-cmd:x"}) {
    INFO(text);
    CHECK_THROWS_WITH(parse_guest_forward(text), Catch::StartsWith("guestfwd="));
  }
}

TEST_CASE("servers in the guest's network are sockets or commands") {
  const GuestForward socket = parse_guest_forward("tcp:10.0.2.100:1234-unix:/run/a-b:c");
  CHECK(text_of(socket.server) == "10.0.2.100");
  CHECK(socket.port == 1234);
  CHECK(socket.kind == GuestForward::Kind::unix_socket);
  CHECK(socket.target == "/run/a-b:c");
  const GuestForward command = parse_guest_forward(":10.0.2.100:7-cmd:cat -u");
  CHECK(command.kind == GuestForward::Kind::command);
  CHECK(command.target == "cat -u");
}

TEST_CASE("forwards are written as they are read") {
  for (const char* text : {"tcp:10.0.2.100:80-unix:/run/x", "tcp:10.0.2.100:7-cmd:cat -n"})
    CHECK(to_string(parse_guest_forward(text)) == text);
}

}  // namespace vireo::dev
