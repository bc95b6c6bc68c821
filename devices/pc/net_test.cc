#include "devices/pc/net.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::pc {
namespace {

class NamedNet final : public dev::NetBackend {
 public:
  explicit NamedNet(std::string name) : name_(std::move(name)) {}
  const dev::NetTraits& traits() const noexcept override { return traits_; }
  std::string description() const override { return name_; }
  void open(EventLoop&, dev::NetFrontend&) override {}
  void close() override {}
  Sent send(uint16_t, const dev::NetHeader&, std::span<const iovec>) override {
    return Sent::dropped;
  }
  Received receive(uint16_t, std::span<const iovec>) override { return {}; }

 private:
  const dev::NetTraits traits_{};
  const std::string name_;
};

NetInterface parse(const std::string& text) {
  const std::vector<Pair> pairs = pairs_of(text, "");
  NetInterface interface = interface_for("--net", pairs);
  keys_of(interface).assign("--net", pairs);
  check("--net", interface);
  return interface;
}

}  // namespace

TEST_CASE("--net user takes QEMU's words") {
  const NetInterface net = parse(
      "user,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp::53-:53,restrict=on,ipv6=off,hostname=h,"
      "guestfwd=tcp:10.0.2.100:80-unix:/x,mac=52:54:00:00:00:09,mtu=9000,bps=1M,pps=10,id=lan");
  const auto& user = std::get<dev::UserNetConfig>(net.network);
  CHECK(user.host_forwards.size() == 2);
  CHECK(user.guest_forwards.size() == 1);
  CHECK(user.restricted);
  CHECK_FALSE(user.ipv6);
  CHECK(user.hostname == "h");
  CHECK(user.tftp.empty());
  CHECK(net.mtu == 9000);
  CHECK(std::get<dev::UserNetConfig>(network_of(net)).mtu == 9000);
  CHECK(net.mac == dev::MacAddress{0x52, 0x54, 0, 0, 0, 9});
  CHECK(net.rates.bps.rate == 1 << 20);
  CHECK(net.rates.pps.rate == 10);
  CHECK(net.id == "lan");
}

TEST_CASE("--net user takes forwards of IPv6, names, ranges and port 0") {
  const NetInterface net = parse(
      "user,hostfwd=tcp:[::1]:2222-:22,hostfwd=tcp:localhost:0-:22,hostfwd=tcp::80-82-:8080-8082");
  const auto& forwards = std::get<dev::UserNetConfig>(net.network).host_forwards;
  REQUIRE(forwards.size() == 3);
  CHECK(forwards[0].host == "::1");
  CHECK(forwards[1].host_port == 0);
  CHECK(forwards[2].count == 3);
}

TEST_CASE("--net tap, bridge and fd") {
  const auto tap = [](const char* text) { return std::get<dev::TapConfig>(parse(text).network); };
  CHECK(tap("tap=tap0").name == "tap0");
  CHECK_FALSE(tap("tap=tap0").is_made());
  CHECK(tap("tap=tap0,create=on").is_made());
  CHECK(tap("tap").is_made());
  CHECK(tap("bridge=br0").is_made());
  CHECK(tap("bridge=br0,tap=vm1").name == "vm1");
  CHECK(tap("bridge=br0").bridge == "br0");
  CHECK(tap("tap=tap0,queues=4,vhost=off").queues == 4);
  CHECK(tap("tap=tap0,vhost=on").vhost == dev::Vhost::on);
  CHECK(tap("fd=5:6").fds == std::vector<int>{5, 6});
}

TEST_CASE("--net socket") {
  const auto socket = std::get<dev::SocketNetConfig>(parse("socket=unix:/run/passt").network);
  CHECK(socket.path == "/run/passt");
  CHECK(socket.framing == dev::SocketNetConfig::Framing::stream);
  const auto other =
      std::get<dev::SocketNetConfig>(parse("socket=unix:/a,framing=datagram,local=/b").network);
  CHECK(other.framing == dev::SocketNetConfig::Framing::datagram);
  CHECK(other.local == "/b");
}

TEST_CASE("--net says what is wrong") {
  for (const char* text : {"",
                           "users",
                           "user=x",
                           "bridge",
                           "fd",
                           "fd=0",
                           "fd=3:",
                           "fd=3,tap=x",
                           "fd=3:4,queues=3",
                           "tap=x,queues=0",
                           "tap=x,vhost=yes",
                           "tap=x,hostfwd=tcp::1-:1",
                           "socket=tcp:x",
                           "socket=unix:",
                           "socket=unix:/x,framing=raw",
                           "socket=unix:/x,local=/y",
                           "user,mac=1",
                           "user,mtu=67",
                           "user,bps=fast",
                           "user,hostfwd=x",
                           "user,guestfwd=x",
                           "user,kind"}) {
    INFO(text);
    CHECK_THROWS_AS(parse(text), ConfigError);
  }
  CHECK_THROWS_WITH(parse("user,hostfwd=x"), Catch::StartsWith("--net: hostfwd=x: "));
}

TEST_CASE("addresses follow the machine's name, or else the network") {
  const NamedNet first("tap a");
  const NamedNet second("tap b");
  CHECK(default_mac("web", first, 0) == default_mac("web", second, 0));
  CHECK(default_mac("web", first, 0) != default_mac("web", first, 1));
  CHECK(default_mac("web", first, 0) != default_mac("db", first, 0));
  CHECK(default_mac("", first, 0) == default_mac("", first, 0));
  CHECK(default_mac("", first, 0) != default_mac("", second, 0));
}

}  // namespace vireo::pc
