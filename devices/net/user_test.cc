#include "devices/net/user.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <catch2/catch.hpp>

#include "devices/net/checksum.h"
#include "devices/net/host_address.h"
#include "devices/net/mac.h"
#include "devices/net/packet.h"
#include "devices/net/segment_order.h"
#include "vmm/base/error.h"
#include "vmm/testing/refused_calls.h"

namespace vireo::dev {
namespace {

constexpr MacAddress kGuestMac{0x52, 0x54, 0, 1, 2, 3};
constexpr MacAddress kGatewayMac{0x52, 0x55, 10, 0, 2, 2};
constexpr uint16_t kIpv4 = 0x0800;
constexpr uint16_t kArp = 0x0806;
constexpr uint16_t kIpv6 = 0x86dd;

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

std::vector<std::byte> tcp_segment(const char* to, uint16_t port, uint8_t flags, uint32_t sequence,
                                   uint16_t from = 40000, uint32_t acknowledged = 0,
                                   uint16_t length = 0) {
  ByteWriter tcp;
  tcp.put(be16(from));
  tcp.put(be16(port));
  tcp.put(be32(sequence));
  tcp.put(be32(acknowledged));
  tcp.put(std::array<uint8_t, 2>{0x50, flags});
  tcp.put(be16(65535));
  // The field begins with the sum of the pseudo-header.
  ByteWriter pseudo;
  pseudo.put(ip("10.0.2.15"));
  pseudo.put(ip(to));
  pseudo.put(be16(6));
  pseudo.put(be16(static_cast<uint16_t>(20 + length)));
  tcp.put(le16(internet_sum(pseudo.bytes())));
  tcp.put(be16(0));
  tcp.zeros(length);
  return packet(6, "10.0.2.15", to, tcp.bytes());
}
std::vector<std::byte> tcp_syn(const char* to, uint16_t port) {
  return tcp_segment(to, port, kTcpSyn, 1000);
}
constexpr NetHeader kTcpChecksum{
    .flags = kNetNeedsChecksum, .checksum_start = 34, .checksum_offset = 16};

std::vector<std::byte> udp_datagram(const char* to, uint16_t from, uint16_t port) {
  ByteWriter udp;
  udp.put(be16(from));
  udp.put(be16(port));
  udp.put(be16(8));
  udp.put(be16(0));
  return packet(17, "10.0.2.15", to, udp.bytes());
}

// What a guest says of its own accord when it has got an address (RFC 4861, 4.4).
std::vector<std::byte> neighbor_advertisement() {
  constexpr uint64_t kPrefix = 0xfec0ull << 48, kOwn = 0x15, kAllNodes = 0xff02ull << 48;
  ByteWriter icmp;
  icmp.put(std::array<uint8_t, 2>{136, 0});
  icmp.put(be16(0));
  icmp.put(be32(0x20000000));  // override
  icmp.put(be64(kPrefix));
  icmp.put(be64(kOwn));
  icmp.put(std::array<uint8_t, 2>{2, 1});
  icmp.put(kGuestMac);
  ByteWriter packet;
  packet.put(be32(0x60000000));
  packet.put(be16(static_cast<uint16_t>(icmp.size())));
  packet.put(std::array<uint8_t, 2>{58, 255});
  ByteWriter addresses;
  for (const uint64_t half : {kPrefix, kOwn, kAllNodes, uint64_t{1}}) addresses.put(be64(half));
  packet.put(addresses.bytes());
  ByteWriter pseudo;
  pseudo.put(addresses.bytes());
  pseudo.put(be32(static_cast<uint32_t>(icmp.size())));
  pseudo.put(be32(58));
  // The field begins with the sum of the pseudo-header.
  const le16 sum = internet_sum(pseudo.bytes());
  std::memcpy(icmp.bytes().data() + 2, &sum, sizeof(sum));
  finish_checksum(icmp.bytes(), 0, 2);
  packet.put(icmp.bytes());
  return ethernet({0x33, 0x33, 0, 0, 0, 1}, kIpv6, packet.bytes());
}

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
  explicit Guest(const UserNetConfig& config = {}, const Logger& log = {})
      : net_("net0", config, log) {
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
  // Lets the network work until that is so.
  void run_until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done() && std::chrono::steady_clock::now() < deadline)
      loop_.step(std::chrono::milliseconds(10));
    CHECK(done());
  }
  const UserNet& net() const noexcept { return net_; }
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
bool is_arp(const std::vector<std::byte>& frame) {
  return type_of(frame) == kArp && byte_at(frame, 21) == 2;
}
Guest::Wanted is_ip(uint8_t protocol) {
  return [protocol](const std::vector<std::byte>& frame) {
    return type_of(frame) == kIpv4 && byte_at(frame, 23) == protocol;
  };
}

// A connection to a port of this host's that need not be complete.
UniqueFd connect_to(const char* host, uint16_t port) {
  const HostAddress address = find_address(host, port);
  UniqueFd client(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  ::connect(client.get(), address.generic(), address.length);
  pollfd connected{.fd = client.get(), .events = POLLOUT, .revents = 0};
  REQUIRE(::poll(&connected, 1, 20'000) == 1);
  CHECK(connected.revents == POLLOUT);
  return client;
}

size_t open_descriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

// While it lives, the process may have so many descriptors.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t most) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    rlimit limit = before_;
    limit.rlim_cur = most;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  rlimit before_{};
};

struct Recorder {
  std::vector<std::string> lines;
  Logger logger() {
    return Logger(LogLevel::warn, [this](LogLevel, std::string_view, std::string_view text) {
      lines.emplace_back(text);
    });
  }
};

UserNetConfig forwarding_to(const std::string& command) {
  UserNetConfig config;
  config.guest_forwards = {{.server = {htonl(0x0a000264)},
                            .port = 1234,
                            .kind = GuestForward::Kind::command,
                            .target = command}};
  return config;
}

// Up to where the command is started.
void connect_to_command(Guest& guest) {
  guest.send(arp_request("10.0.2.2"));
  guest.send(tcp_syn("10.0.2.100", 1234), kTcpChecksum);
  const auto answer = guest.await(is_ip(6));
  REQUIRE(byte_at(answer, 47) == 0x12);
  guest.send(tcp_segment("10.0.2.100", 1234, kTcpAck, 1001, 40000, long_at(answer, 38) + 1),
             kTcpChecksum);
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

TEST_CASE("of a connection's data ahead of a gap only so many short segments are kept") {
  const Listener listener;
  Guest guest;
  guest.send(arp_request("10.0.2.2"));
  guest.send(tcp_syn("10.0.2.2", listener.port), kTcpChecksum);
  constexpr uint32_t kFirst = 1001;
  const uint32_t other = long_at(guest.await(is_ip(6)), 38) + 1;
  const auto send = [&](uint32_t offset) {
    guest.send(tcp_segment("10.0.2.2", listener.port, kTcpAck, kFirst + offset, 40000, other, 1),
               kTcpChecksum);
  };
  const auto acknowledges = [](uint32_t offset) {
    return [offset](const std::vector<std::byte>& frame) {
      return is_ip(6)(frame) && long_at(frame, 42) == kFirst + offset;
    };
  };
  for (uint32_t offset = 1; offset < 400; offset += 2) send(offset);
  for (uint32_t offset = 0; offset < 400; offset += 2) send(offset);
  guest.await(acknowledges(2 * SegmentOrder::kMostAhead + 1));
  // What was dropped comes again, and what comes next is kept.
  for (uint32_t offset = 129; offset < 400; ++offset) send(offset);
  guest.await(acknowledges(400));
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
  guest.send(tcp_segment("10.0.2.100", 1234, kTcpReset, 1001), kTcpChecksum);
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
  config.host_forwards = {{.host = "127.0.0.1", .host_port = port, .guest_port = 22}};
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
  config.host_forwards = {{.host = "127.0.0.1", .host_port = port, .guest_port = 22}};
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

TEST_CASE("a port that the host chooses is told, and leads to the guest's") {
  UserNetConfig config;
  config.host_forwards = {{.host = "localhost", .host_port = 0, .guest_port = 22},
                          {.udp = true, .host = "127.0.0.1", .host_port = 0, .guest_port = 53}};
  Guest guest(config);
  const auto& forwards = guest.net().host_forwards();
  REQUIRE(forwards.size() == 2);
  REQUIRE(forwards[0].host_port != 0);
  CHECK(forwards[1].host_port != 0);
  CHECK(guest.net().announcements() ==
        std::vector<std::string>{
            "hostfwd=tcp:localhost:" + std::to_string(forwards[0].host_port) + "-:22",
            "hostfwd=udp:127.0.0.1:" + std::to_string(forwards[1].host_port) + "-:53"});
  guest.send(arp_request("10.0.2.2"));
  const UniqueFd client = connect_to("127.0.0.1", forwards[0].host_port);
  const auto syn = guest.await(is_ip(6));
  CHECK(byte_at(syn, 47) == kTcpSyn);
  CHECK(word_at(syn, 36) == 22);
}

TEST_CASE("ports in a row lead to the guest's in a row") {
  // Ports that are free now may be taken a moment later: then others are tried.
  for (int tries = 0; tries < 100; ++tries) {
    const uint16_t first = Listener().port;
    UserNetConfig config;
    config.host_forwards = {
        {.host = "127.0.0.1", .host_port = first, .guest_port = 8000, .count = 3}};
    std::optional<Guest> guest;
    try {
      guest.emplace(config);
    } catch (const ConfigError&) {
      continue;
    }
    CHECK(guest->net().announcements().empty());
    guest->send(arp_request("10.0.2.2"));
    const UniqueFd client = connect_to("127.0.0.1", static_cast<uint16_t>(first + 2));
    CHECK(word_at(guest->await(is_ip(6)), 36) == 8002);
    return;
  }
  FAIL("there were no three ports in a row");
}

TEST_CASE("a port of the host's IPv6 address leads to the guest's IPv6 address") {
  UserNetConfig config;
  config.host_forwards = {{.host = "::1", .host_port = 0, .guest_port = 22}};
  Guest guest(config);
  guest.send(neighbor_advertisement());
  const UniqueFd client = connect_to("::1", guest.net().host_forwards()[0].host_port);
  const auto syn = guest.await(
      [](const auto& frame) { return type_of(frame) == kIpv6 && byte_at(frame, 20) == 6; });
  CHECK(byte_at(syn, 14 + 24) == 0xfe);
  CHECK(byte_at(syn, 14 + 39) == 0x15);
  CHECK(word_at(syn, 14 + 40 + 2) == 22);
}

TEST_CASE("a guest opens no more sockets than its network carries") {
  const DescriptorLimit limit(128);
  const Listener listener;
  REQUIRE(::listen(listener.fd.get(), 1000) == 0);
  Recorder recorder;
  Guest guest({}, recorder.logger());
  guest.send(arp_request("10.0.2.2"));
  const size_t before = open_descriptors();
  SECTION("connections, whose end makes room") {
    for (uint16_t port = 0; port < 200; ++port)
      guest.send(tcp_segment("10.0.2.2", listener.port, kTcpSyn, 1000, 20'000 + port),
                 kTcpChecksum);
    CHECK(open_descriptors() == before + 64);
    CHECK(recorder.lines.size() == 1);
    guest.run_until([&] {
      for (uint16_t port = 0; port < 10; ++port)
        guest.send(tcp_segment("10.0.2.2", listener.port, kTcpReset | kTcpAck, 1001, 20'000 + port),
                   kTcpChecksum);
      guest.send(tcp_segment("10.0.2.2", listener.port, kTcpSyn, 1000, 30'000), kTcpChecksum);
      return open_descriptors() == before + 55;
    });
  }
  SECTION("datagrams") {
    for (uint16_t port = 0; port < 200; ++port)
      guest.send(udp_datagram("10.0.2.2", 20'000 + port, listener.port));
    CHECK(open_descriptors() == before + 64);
    CHECK(recorder.lines.size() == 1);
  }
  SECTION("echo requests") {
    for (int i = 0; i < 200; ++i) guest.send(echo_request("127.0.0.2"), kIcmpChecksum);
    CHECK(open_descriptors() <= before + 64);
  }
}

TEST_CASE("a forwarded server answers, and leases go on, when the guest's sockets are used up") {
  const DescriptorLimit limit(128);
  UserNetConfig config;
  config.host_forwards = {{.udp = true, .host = "127.0.0.1", .host_port = 0, .guest_port = 53}};
  Guest guest(config);
  guest.send(arp_request("10.0.2.2"));
  for (uint16_t port = 0; port < 200; ++port)
    guest.send(udp_datagram("10.0.2.2", 20'000 + port, 9));
  const UniqueFd client(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const HostAddress server = find_address("127.0.0.1", guest.net().host_forwards()[0].host_port);
  REQUIRE(::connect(client.get(), server.generic(), server.length) == 0);
  REQUIRE(::send(client.get(), "?", 1, 0) == 1);
  const auto question =
      guest.await([](const auto& frame) { return is_ip(17)(frame) && word_at(frame, 36) == 53; });
  guest.send(udp_datagram("10.0.2.2", 53, word_at(question, 34)));
  pollfd answered{.fd = client.get(), .events = POLLIN, .revents = 0};
  CHECK(::poll(&answered, 1, 5000) == 1);
  guest.send(dhcp_discover());
  guest.await([](const auto& frame) { return is_ip(17)(frame) && word_at(frame, 34) == 67; });
}

TEST_CASE("connections to servers that are programs count before the program is started") {
  const DescriptorLimit limit(128);
  Recorder recorder;
  Guest guest(forwarding_to("cat"), recorder.logger());
  guest.send(arp_request("10.0.2.2"));
  for (uint16_t port = 0; port < 200; ++port)
    guest.send(tcp_segment("10.0.2.100", 1234, kTcpSyn, 1000, 20'000 + port), kTcpChecksum);
  CHECK(recorder.lines.size() == 1);
}

TEST_CASE("connections of the host's wait when there are as many as the network carries") {
  UserNetConfig config;
  config.host_forwards = {{.host = "127.0.0.1", .host_port = 0, .guest_port = 22}};
  std::optional<Guest> guest;
  {
    const DescriptorLimit limit(64);
    guest.emplace(config);
  }
  guest->send(arp_request("10.0.2.2"));
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 40; ++i)
    clients.push_back(connect_to("127.0.0.1", guest->net().host_forwards()[0].host_port));
  const size_t before = open_descriptors();
  guest->run_until([&] { return open_descriptors() == before + 32; });
  for (int i = 0; i < 20; ++i)
    guest->run_until([first = true]() mutable { return !std::exchange(first, false); });
  CHECK(open_descriptors() == before + 32);
}

TEST_CASE("messages of libslirp's go to the log") {
  Recorder recorder;
  Guest guest(forwarding_to("/nonexistent/program"), recorder.logger());
  connect_to_command(guest);
  guest.run_until([&] { return !recorder.lines.empty(); });
  CHECK_THAT(recorder.lines.front(), Catch::Contains("/nonexistent/program"));
}

TEST_CASE("a program behind a server has signals, descriptors and a session of its own") {
  sigset_t blocked{}, before{};
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  REQUIRE(::pthread_sigmask(SIG_BLOCK, &blocked, &before) == 0);
  const UniqueFd inherited(::fcntl(0, F_DUPFD, 100));
  Guest guest(forwarding_to(
      "sh -c 'grep SigBlk /proc/self/status; read -r _ _ _ _ _ session _ </proc/$$/stat; "
      "test $session -eq $$ && echo own session; echo descriptors /proc/$$/fd/*'"));
  connect_to_command(guest);
  std::string text;
  const auto collect = [&](const std::vector<std::byte>& frame) {
    if (is_ip(6)(frame)) text.append(reinterpret_cast<const char*>(frame.data()), frame.size());
    return text.find("descriptors") != std::string::npos;
  };
  guest.await(collect);
  REQUIRE(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  CHECK_THAT(text, Catch::Contains("SigBlk:\t0000000000000000"));
  CHECK_THAT(text, Catch::Contains("own session"));
  CHECK_THAT(text, !Catch::Contains("fd/" + std::to_string(inherited.get())));
}

TEST_CASE("ports that can not be had are named") {
  const Listener listener;
  UserNetConfig config;
  const auto refusal = [&](const HostForward& forward) {
    config.host_forwards = {forward};
    try {
      const UserNet net("net0", config);
    } catch (const std::exception& error) {
      return describe(error);
    }
    return std::string();
  };
  CHECK_THAT(refusal({.host = "127.0.0.1", .host_port = listener.port, .guest_port = 22}),
             Catch::Contains(std::to_string(listener.port)) && Catch::Contains("in use"));
  CHECK_THAT(refusal({.host = "192.0.2.1", .host_port = 2222, .guest_port = 22}),
             Catch::Contains("'192.0.2.1' is no address of this host's"));
  CHECK_THAT(refusal({.host = "::1", .guest = "10.0.2.15", .guest_port = 22}),
             Catch::Contains("one address is IPv4, the other IPv6"));
  CHECK_THAT(refusal({.host = "no.such.name.invalid", .guest_port = 22}),
             Catch::Contains("'no.such.name.invalid' stands for no address"));
  config.ipv6 = false;
  CHECK_THAT(refusal({.host = "::1", .guest_port = 22}), Catch::Contains("ipv6=off"));
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
