#include "devices/net/socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/net/frame_stream.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/testing/manual_loop.h"
#include "vmm/testing/refused_calls.h"
#include "vmm/testing/temp_file.h"

namespace vireo::dev {
namespace {

using namespace std::chrono_literals;
using Framing = SocketNetConfig::Framing;

UniqueFd bound(int type, const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ::unlink(path.c_str());
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  if (type == SOCK_STREAM) REQUIRE(::listen(socket.get(), 1) == 0);
  return socket;
}

std::vector<std::byte> frame_of(size_t length, int seed = 0) {
  std::vector<std::byte> frame(length);
  for (size_t i = 0; i < length; ++i)
    frame[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(seed));
  return frame;
}

std::vector<std::byte> framed(const std::vector<std::byte>& frame) {
  ByteWriter writer;
  writer.put(be32(static_cast<uint32_t>(frame.size())));
  writer.put(frame);
  return writer.take();
}

// The guest's side.
class Guest final : public NetFrontend {
 public:
  explicit Guest(const SocketNetConfig& config) : net(open_socket_net("net0", config, {})) {
    net->open(turns.loop(), *this);
    turns.settle();
  }
  ~Guest() { net->close(); }

  NetBackend::Sent send(std::vector<std::byte> frame) {
    const iovec halves[] = {{frame.data(), frame.size() / 2},
                            {frame.data() + frame.size() / 2, frame.size() - frame.size() / 2}};
    return net->send(0, {}, halves);
  }
  std::vector<std::byte> receive() {
    std::vector<std::byte> buffer(kMaxFrame);
    const iovec halves[] = {{buffer.data(), 100}, {buffer.data() + 100, buffer.size() - 100}};
    buffer.resize(net->receive(0, halves).length);
    return buffer;
  }

  vireo::testing::ManualLoop turns;
  std::unique_ptr<NetBackend> net;
  int arrivals = 0;
  int room = 0;
  int link_changes = 0;

 private:
  void frames_arrived(uint16_t) override { ++arrivals; }
  void can_send(uint16_t) override { ++room; }
  void link_changed() override { ++link_changes; }
};

struct StreamPair {
  StreamPair() { accept(); }
  void accept() { peer.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK)); }
  void peer_sends(std::span<const std::byte> bytes) {
    REQUIRE(::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
    guest.turns.settle();
  }
  std::vector<std::byte> peer_reads() {
    std::vector<std::byte> all;
    std::vector<std::byte> buffer(1 << 16);
    while (true) {
      const ssize_t n = ::recv(peer.get(), buffer.data(), buffer.size(), 0);
      if (n <= 0) return all;
      all.insert(all.end(), buffer.begin(), buffer.begin() + n);
    }
  }

  vireo::testing::TempDir directory;
  std::string path = directory.file("net");
  UniqueFd listener = bound(SOCK_STREAM, path);
  Guest guest{{.path = path}};
  UniqueFd peer;
};

}  // namespace

TEST_CASE("a stream carries each frame behind its length") {
  StreamPair pair;
  const auto frame = frame_of(1514);
  CHECK(pair.guest.send(frame) == NetBackend::Sent::taken);
  CHECK(pair.peer_reads() == framed(frame));
  CHECK(pair.guest.net->traits().from_guest == NetOffloads{});

  CHECK(pair.guest.receive().empty());
  auto bytes = framed(frame_of(60, 1));
  const auto second = framed(frame_of(kMaxFrame, 2));
  bytes.insert(bytes.end(), second.begin(), second.end());
  pair.peer_sends(std::span(bytes).first(3));
  CHECK(pair.guest.arrivals > 0);
  CHECK(pair.guest.receive().empty());
  pair.peer_sends(std::span(bytes).subspan(3, 100));
  CHECK(pair.guest.receive() == frame_of(60, 1));
  CHECK(pair.guest.receive().empty());
  pair.peer_sends(std::span(bytes).subspan(103));
  CHECK(pair.guest.receive() == frame_of(kMaxFrame, 2));
}

TEST_CASE("a stream whose reader is slow holds the guest back, and no frame is lost or torn") {
  StreamPair pair;
  std::vector<std::byte> expected;
  std::vector<std::byte> read;
  int sent = 0;
  const auto send_until_full = [&] {
    while (pair.guest.send(frame_of(60000, sent)) == NetBackend::Sent::taken) {
      const auto bytes = framed(frame_of(60000, sent++));
      expected.insert(expected.end(), bytes.begin(), bytes.end());
    }
  };
  for (int round = 0; round < 3; ++round) {
    const int had = pair.guest.room;
    send_until_full();
    while (pair.guest.room == had) {
      const auto part = pair.peer_reads();
      read.insert(read.end(), part.begin(), part.end());
      pair.guest.turns.settle();
    }
  }
  for (auto part = pair.peer_reads(); !part.empty(); part = pair.peer_reads())
    read.insert(read.end(), part.begin(), part.end());
  CHECK(sent > 2);
  CHECK(read == expected);
}

TEST_CASE("a stream that ends is a link that is down until somebody listens again") {
  StreamPair pair;
  pair.peer.reset();
  pair.guest.turns.settle();
  CHECK(pair.guest.receive().empty());
  pair.guest.turns.settle();
  CHECK(pair.guest.link_changes == 1);
  CHECK_FALSE(pair.guest.net->link_up());
  CHECK(pair.guest.send(frame_of(60)) == NetBackend::Sent::dropped);

  pair.listener.reset();
  pair.guest.turns.advance(1s);
  CHECK_FALSE(pair.guest.net->link_up());
  pair.listener = bound(SOCK_STREAM, pair.path);
  pair.guest.turns.advance(1s);
  CHECK(pair.guest.net->link_up());
  CHECK(pair.guest.link_changes == 2);
  pair.accept();
  CHECK(pair.guest.send(frame_of(60)) == NetBackend::Sent::taken);
  CHECK(pair.peer_reads() == framed(frame_of(60)));
}

TEST_CASE("a host without a descriptor left keeps the link down, and connects when it has one") {
  StreamPair pair;
  pair.peer.reset();
  pair.guest.turns.settle();
  CHECK(pair.guest.receive().empty());
  const bool ran = vireo::testing::with_refused_calls({SYS_socket}, EMFILE, [&] {
    for (int tries = 0; tries < 3; ++tries) pair.guest.turns.advance(1s);
  });
  if (!ran) return;
  CHECK_FALSE(pair.guest.net->link_up());
  CHECK(pair.guest.link_changes == 1);
  pair.guest.turns.advance(1s);
  CHECK(pair.guest.net->link_up());
  CHECK(pair.guest.link_changes == 2);
}

TEST_CASE("whoever waits for room in a stream that ends is let go") {
  StreamPair pair;
  while (pair.guest.send(frame_of(60000)) == NetBackend::Sent::taken) {
  }
  pair.peer.reset();
  pair.guest.turns.settle();
  static_cast<void>(pair.guest.receive());
  pair.guest.turns.settle();
  CHECK(pair.guest.room > 0);
  CHECK(pair.guest.send(frame_of(60)) == NetBackend::Sent::dropped);
}

TEST_CASE("a stream with an impossible frame is given up") {
  StreamPair pair;
  pair.peer_sends(bytes_of(be32(kMaxFrame + 1)));
  CHECK(pair.guest.receive().empty());
  CHECK_FALSE(pair.guest.net->link_up());
}

TEST_CASE("a paused stream keeps its connection and what came meanwhile") {
  StreamPair pair;
  pair.guest.net->close();
  pair.peer_sends(framed(frame_of(60)));
  pair.guest.net->open(pair.guest.turns.loop(), pair.guest);
  pair.guest.turns.settle();
  CHECK(pair.guest.arrivals > 0);
  CHECK(pair.guest.receive() == frame_of(60));
}

TEST_CASE("datagrams are frames") {
  const vireo::testing::TempDir directory;
  const std::string remote = directory.file("remote");
  const std::string local = directory.file("local");
  {
    Guest guest({.path = remote, .local = local, .framing = Framing::datagram});
    CHECK(guest.send(frame_of(60)) == NetBackend::Sent::dropped);  // nobody is there yet
    const UniqueFd peer = bound(SOCK_DGRAM, remote);
    CHECK(guest.send(frame_of(1514)) == NetBackend::Sent::taken);
    std::vector<std::byte> buffer(kMaxFrame);
    CHECK(::recv(peer.get(), buffer.data(), buffer.size(), 0) == 1514);

    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, local.data(), local.size());
    const auto send = [&](const std::vector<std::byte>& frame) {
      REQUIRE(::sendto(peer.get(), frame.data(), frame.size(), 0,
                       reinterpret_cast<sockaddr*>(&address),
                       sizeof(address)) == static_cast<ssize_t>(frame.size()));
      guest.turns.settle();
    };
    send({});
    send(frame_of(500));
    CHECK(guest.arrivals > 0);
    CHECK(guest.receive() == frame_of(500));
    CHECK(guest.receive().empty());

    while (guest.send(frame_of(60)) == NetBackend::Sent::taken) {
    }
    while (::recv(peer.get(), buffer.data(), buffer.size(), 0) > 0) {
    }
    guest.turns.advance(1ms);
    CHECK(guest.room == 1);
    CHECK(guest.send(frame_of(60)) == NetBackend::Sent::taken);
    CHECK_THROWS_AS(Guest({.path = remote, .local = local, .framing = Framing::datagram}),
                    ConfigError);
  }
  CHECK_FALSE(std::filesystem::exists(local));
}

TEST_CASE("a datagram socket that a killed machine left behind is taken over") {
  const vireo::testing::TempDir directory;
  const SocketNetConfig config{.path = directory.file("remote"),
                               .local = directory.file("local"),
                               .framing = Framing::datagram};
  bound(SOCK_DGRAM, config.local).reset();
  REQUIRE(std::filesystem::exists(config.local));
  { const Guest guest(config); }
  CHECK_FALSE(std::filesystem::exists(config.local));
}

TEST_CASE("a datagram socket takes nothing else over, and removes only its own") {
  const vireo::testing::TempDir directory;
  const SocketNetConfig config{.path = directory.file("remote"),
                               .local = directory.file("local"),
                               .framing = Framing::datagram};
  SECTION("a file") {
    std::ofstream(config.local) << "mine";
    CHECK_THROWS_WITH(Guest(config), Catch::Contains(config.local + "' exists and is no socket"));
    CHECK(std::filesystem::exists(config.local));
  }
  SECTION("a socket of another program's") {
    const UniqueFd other = bound(SOCK_DGRAM, config.local);
    CHECK_THROWS_WITH(Guest(config), Catch::Contains("another program has that socket"));
  }
  SECTION("a listening socket") {
    const UniqueFd other = bound(SOCK_STREAM, config.local);
    CHECK_THROWS_WITH(Guest(config), Catch::Contains("another program has that socket"));
  }
  SECTION("a socket that somebody put in its place") {
    UniqueFd other;
    {
      const Guest guest(config);
      std::filesystem::remove(config.local);
      other = bound(SOCK_DGRAM, config.local);
    }
    CHECK(std::filesystem::exists(config.local));
  }
}

TEST_CASE("sockets that can not be connected to are named") {
  const vireo::testing::TempDir directory;
  const std::string path = directory.file("net");
  CHECK_THROWS_WITH(open_socket_net("net0", {.path = path}, {}), Catch::Contains(path));
  const UniqueFd other = bound(SOCK_DGRAM, path);
  CHECK_THROWS_WITH(open_socket_net("net0", {.path = path}, {}), Catch::Contains("framing"));
  CHECK_THROWS_AS(open_socket_net("net0", {.path = std::string(200, 'x')}, {}), ConfigError);
  CHECK_THROWS_AS(
      open_socket_net(
          "net0",
          {.path = path, .local = "/nonexistent/directory/socket", .framing = Framing::datagram},
          {}),
      std::system_error);
}

}  // namespace vireo::dev
