#include "devices/net/user.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <catch2/catch.hpp>

#include "devices/net/checksum.h"
#include "devices/net/mac.h"
#include "vmm/base/error.h"
#include "vmm/testing/refused_calls.h"

namespace vireo::dev {
namespace {

constexpr MacAddress kGuestMac{0x52, 0x54, 0, 1, 2, 3};
constexpr MacAddress kGatewayMac{0x52, 0x55, 10, 0, 2, 2};
constexpr uint16_t kIpv4 = 0x0800;
constexpr uint16_t kArp = 0x0806;

be32 ip(const char* text) {
  in_addr address{};
  REQUIRE(::inet_pton(AF_INET, text, &address) == 1);
  return ntohl(address.s_addr);
}

std::vector<std::byte> ethernet(const MacAddress& to, uint16_t type,
                                std::span<const std::byte> payload) {
  ByteWriter frame;
  frame.put(to);
  frame.put(kGuestMac);
  frame.put(be16(type));
  frame.put(payload);
  return frame.take();
}

std::vector<std::byte> arp_request(const char* wanted) {
  ByteWriter arp;
  arp.put(be16(1));
  arp.put(be16(kIpv4));
  arp.put(std::array<uint8_t, 2>{6, 4});
  arp.put(be16(1));
  arp.put(kGuestMac);
  arp.put(ip("10.0.2.15"));
  arp.put(MacAddress{});
  arp.put(ip(wanted));
  return ethernet({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, kArp, arp.bytes());
}

std::vector<std::byte> packet(uint8_t protocol, const char* from, const char* to,
                              std::span<const std::byte> payload) {
  ByteWriter header;
  header.put(std::array<uint8_t, 2>{0x45, 0});
  header.put(be16(static_cast<uint16_t>(20 + payload.size())));
  header.put(be32(0));
  header.put(std::array<uint8_t, 2>{64, protocol});
  header.put(be16(0));
  header.put(ip(from));
  header.put(ip(to));
  finish_checksum(header.bytes(), 0, 10);
  header.put(payload);
  return ethernet(kGatewayMac, kIpv4, header.bytes());
}

// Its checksum is left to the network.
std::vector<std::byte> echo_request(const char* to) {
  ByteWriter echo;
  echo.put(std::array<uint8_t, 2>{8, 0});
  echo.put(be16(0));
  echo.put(be32(0x00010001));
  echo.put(bytes_of_text("anybody there?"));
  return packet(1, "10.0.2.15", to, echo.bytes());
}
constexpr NetHeader kIcmpChecksum{
    .flags = kNetNeedsChecksum, .checksum_start = 34, .checksum_offset = 2};

constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kRst = 0x04;

std::vector<std::byte> tcp_segment(const char* to, uint16_t port, uint8_t flags,
                                   uint32_t sequence) {
  ByteWriter tcp;
  tcp.put(be16(40000));
  tcp.put(be16(port));
  tcp.put(be32(sequence));
  tcp.put(be32(0));
  tcp.put(std::array<uint8_t, 2>{0x50, flags});
  tcp.put(be16(65535));
  // The field begins with the sum of the pseudo-header.
  ByteWriter pseudo;
  pseudo.put(ip("10.0.2.15"));
  pseudo.put(ip(to));
  pseudo.put(be16(6));
  pseudo.put(be16(20));
  tcp.put(le16(internet_sum(pseudo.bytes())));
  tcp.put(be16(0));
  return packet(6, "10.0.2.15", to, tcp.bytes());
}
std::vector<std::byte> tcp_syn(const char* to, uint16_t port) {
  return tcp_segment(to, port, kSyn, 1000);
}
constexpr NetHeader kTcpChecksum{
    .flags = kNetNeedsChecksum, .checksum_start = 34, .checksum_offset = 16};

std::vector<std::byte> dhcp_discover() {
  ByteWriter dhcp;
  dhcp.put(std::array<uint8_t, 4>{1, 1, 6, 0});
  dhcp.put(be32(0x12345678));
  dhcp.zeros(20);
  dhcp.put(kGuestMac);
  dhcp.zeros(10 + 64 + 128);
  dhcp.put(be32(0x63825363));
  dhcp.put(std::array<uint8_t, 4>{53, 1, 1, 255});
  ByteWriter udp;
  udp.put(be16(68));
  udp.put(be16(67));
  udp.put(be16(static_cast<uint16_t>(8 + dhcp.size())));
  udp.put(be16(0));
  udp.put(dhcp.bytes());
  return packet(17, "0.0.0.0", "255.255.255.255", udp.bytes());
}

// A listening TCP socket on a port of the kernel's choice.
struct Listener {
  Listener() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(fd.get(), 4) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port = ntohs(address.sin_port);
  }
  UniqueFd fd;
  uint16_t port = 0;
};

// The guest's side.
class Guest final : public NetFrontend {
 public:
  explicit Guest(const UserNetConfig& config = {}) : net_("net0", config) {
    net_.open(loop_, *this);
  }
  ~Guest() { net_.close(); }

  void send(const std::vector<std::byte>& frame, const NetHeader& header = {}) {
    std::vector<std::byte> copy = frame;
    const iovec part{copy.data(), copy.size()};
    CHECK(net_.send(0, header, std::span(&part, 1)) == NetBackend::Sent::taken);
  }
  using Wanted = std::function<bool(const std::vector<std::byte>&)>;
  // The first frame that is wanted: until it comes, those of other kinds are let go.
  std::vector<std::byte> await(const Wanted& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < deadline) {
      std::vector<std::byte> buffer(kMaxFrame);
      const iovec part{buffer.data(), buffer.size()};
      const auto received = net_.receive(0, std::span(&part, 1));
      buffer.resize(received.length);
      if (received.length == 0)
        loop_.step(std::chrono::seconds(1));
      else if (wanted(buffer))
        return buffer;
    }
    FAIL("no such frame came");
    return {};
  }
  // How many turns of the loop found something to do.
  int busy_turns(int turns) {
    int busy = 0;
    for (int i = 0; i < turns; ++i) busy += loop_.step() ? 1 : 0;
    return busy;
  }
  void pause_and_go_on() {
    net_.close();
    net_.open(loop_, *this);
  }

 private:
  void frames_arrived(uint16_t) override {}
  void can_send(uint16_t) override {}
  void link_changed() override {}

  EventLoop loop_;
  UserNet net_;
};

uint16_t type_of(const std::vector<std::byte>& frame) {
  ByteReader reader(frame);
  reader.take(12);
  return reader.get<be16>();
}
uint8_t byte_at(const std::vector<std::byte>& frame, size_t at) {
  return at < frame.size() ? std::to_integer<uint8_t>(frame[at]) : uint8_t{0};
}
bool is_arp(const std::vector<std::byte>& frame) {
  return type_of(frame) == kArp && byte_at(frame, 21) == 2;
}
Guest::Wanted is_ip(uint8_t protocol) {
  return [protocol](const std::vector<std::byte>& frame) {
    return type_of(frame) == kIpv4 && byte_at(frame, 23) == protocol;
  };
}

}  // namespace

TEST_CASE("the gateway answers ARP and echo requests") {
  Guest guest;
  guest.send(arp_request("10.0.2.2"));
  const auto arp = guest.await(is_arp);
  CHECK(std::equal(kGatewayMac.begin(), kGatewayMac.end(),
                   reinterpret_cast<const uint8_t*>(arp.data()) + 22));
  guest.pause_and_go_on();
  guest.send(echo_request("10.0.2.2"), kIcmpChecksum);
  const auto echo = guest.await(is_ip(1));
  CHECK(byte_at(echo, 34) == 0);
  CHECK(internet_sum(std::span(echo).subspan(34)) == 0xffff);
}

TEST_CASE("DHCP gives 10.0.2.15 and the name of the host") {
  UserNetConfig config;
  config.hostname = "guinea-pig";
  Guest guest(config);
  guest.send(dhcp_discover());
  const auto offer = guest.await(is_ip(17));
  const std::string text(reinterpret_cast<const char*>(offer.data()), offer.size());
  CHECK_THAT(text, Catch::Contains("guinea-pig"));
  ByteReader reader(offer);
  reader.take(14 + 20 + 8 + 16);
  CHECK(reader.get<be32>() == ip("10.0.2.15"));
}

TEST_CASE("connections of the guest's are the host's") {
  const Listener listener;
  Guest guest;
  guest.send(arp_request("10.0.2.2"));
  guest.send(tcp_syn("10.0.2.2", listener.port), kTcpChecksum);
  const auto answer = guest.await(is_ip(6));
  CHECK(byte_at(answer, 47) == 0x12);  // SYN and ACK
  const UniqueFd connection(::accept(listener.fd.get(), nullptr, nullptr));
  CHECK(connection);
}

TEST_CASE("a forwarded connection that ends before its command was started has no socket") {
  const Listener listener;
  UserNetConfig config;
  config.guest_forwards = {{.server = {htonl(0x0a000264)},
                            .port = 1234,
                            .kind = GuestForward::Kind::command,
                            .target = "cat"}};
  Guest guest(config);
  guest.send(arp_request("10.0.2.2"));
  guest.send(tcp_syn("10.0.2.100", 1234), kTcpChecksum);
  CHECK(byte_at(guest.await(is_ip(6)), 47) == 0x12);
  guest.send(tcp_segment("10.0.2.100", 1234, kRst, 1001), kTcpChecksum);
  guest.send(tcp_syn("10.0.2.2", listener.port), kTcpChecksum);
  CHECK(byte_at(guest.await(is_ip(6)), 47) == 0x12);
  CHECK(UniqueFd(::accept(listener.fd.get(), nullptr, nullptr)));
}

TEST_CASE("nothing gets out of a restricted network") {
  const Listener listener;
  UserNetConfig config;
  config.restricted = true;
  Guest guest(config);
  guest.send(arp_request("10.0.2.2"));
  guest.send(tcp_syn("10.0.2.2", listener.port), kTcpChecksum);
  guest.send(echo_request("10.0.2.2"), kIcmpChecksum);
  bool connected = false;
  guest.await([&](const auto& frame) {  // the gateway's own answer, which comes after any other
    connected = connected || (is_ip(6)(frame) && byte_at(frame, 47) == 0x12);
    return is_ip(1)(frame);
  });
  CHECK_FALSE(connected);
  CHECK_FALSE(UniqueFd(::accept(listener.fd.get(), nullptr, nullptr)));
}

TEST_CASE("many connections to a forwarded port can wait to be taken") {
  const uint16_t port = Listener().port;
  UserNetConfig config;
  config.host_forwards = {{.host = {htonl(INADDR_LOOPBACK)}, .host_port = port, .guest_port = 22}};
  Guest guest(config);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) {
    UniqueFd& client =
        clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    pollfd connected{.fd = client.get(), .events = POLLOUT, .revents = 0};
    REQUIRE(::poll(&connected, 1, 20'000) == 1);
    CHECK(connected.revents == POLLOUT);
  }
  guest.send(arp_request("10.0.2.2"));
  guest.await(is_arp);
}

TEST_CASE(
    "a host without a descriptor left takes a connection later, and has nothing to do till then") {
  const uint16_t port = Listener().port;
  UserNetConfig config;
  config.host_forwards = {{.host = {htonl(INADDR_LOOPBACK)}, .host_port = port, .guest_port = 22}};
  Guest guest(config);
  guest.send(arp_request("10.0.2.2"));
  guest.await(is_arp);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  int busy = 0;
  const bool ran = vireo::testing::with_refused_calls({SYS_accept, SYS_accept4, SYS_fcntl}, EMFILE,
                                                      [&] { busy = guest.busy_turns(100); });
  if (!ran) return;
  CHECK(busy < 10);
  guest.await(is_ip(6));
}

TEST_CASE("ports that can not be had are named") {
  const Listener listener;
  UserNetConfig config;
  config.host_forwards = {
      {.host = {htonl(INADDR_LOOPBACK)}, .host_port = listener.port, .guest_port = 22}};
  CHECK_THROWS_WITH(UserNet("net0", config),
                    Catch::Contains(std::to_string(listener.port)) && Catch::Contains("in use"));
  config.host_forwards = {{.host = {htonl(0xc0000201)}, .host_port = 2222, .guest_port = 22}};
  CHECK_THROWS_WITH(UserNet("net0", config), Catch::Contains("192.0.2.1"));
}

TEST_CASE("user mode options that can not be are refused") {
  UserNetConfig config;
  config.guest_forwards = {{.server = {htonl(0x0a000202)}, .port = 80, .target = "/x"}};
  CHECK_THROWS_WITH(UserNet("net0", config), Catch::Contains("10.0.2.2:80"));
  config = {};
  config.tftp = "/nonexistent/directory";
  CHECK_THROWS_WITH(UserNet("net0", config), Catch::Contains("tftp=/nonexistent/directory"));
  config = {};
  config.hostname = std::string(33, 'x');
  CHECK_THROWS_AS(UserNet("net0", config), ConfigError);
}

}  // namespace vireo::dev
