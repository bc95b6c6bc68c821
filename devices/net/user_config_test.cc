#include "devices/net/user_config.h"

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
  CHECK(text_of(ssh.host) == "127.0.0.1");
  CHECK(ssh.host_port == 2222);
  CHECK(ssh.guest.s_addr == 0);
  CHECK(ssh.guest_port == 22);
  const HostForward dns = parse_host_forward("udp::5353-10.0.2.16:53");
  CHECK(dns.udp);
  CHECK(dns.host.s_addr == 0);
  CHECK(text_of(dns.guest) == "10.0.2.16");
  CHECK(parse_host_forward("::8080-:80").host_port == 8080);
}

TEST_CASE("forwards that make no sense are refused with their form") {
  for (const char* text :
       {"", "2222-:22", "tcp:127.0.0.1:2222", "tcp:127.0.0.1-:22", "tcp:localhost:2222-:22",
        "tcp::0-:22", "tcp::65536-:22", "tcp::22x-:22", "tcp::2222-:", "tcp::2222-22",
        "sctp::2222-:22", "tcp:[::1]:2222-:22", "tcp::2222-:22-"}) {
    INFO(text);
    CHECK_THROWS_WITH(parse_host_forward(text),
                      Catch::StartsWith("hostfwd=") && Catch::Contains("HOST-PORT"));
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

}  // namespace vireo::dev
