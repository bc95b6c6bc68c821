#include "devices/chardev/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include <catch2/catch.hpp>

#include "devices/testing/recording_frontend.h"
#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/testing/manual_loop.h"
#include "vmm/testing/refused_calls.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace vireo::dev;
using namespace vireo::dev::testing;

namespace {

class Client {
 public:
  explicit Client(const std::string& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    REQUIRE(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  void send(std::string_view text) { REQUIRE_FALSE(write_all(fd_.get(), bytes_of_text(text))); }
  std::string read() {
    std::string text;
    std::array<char, 4096> buffer;
    ssize_t n = 0;
    while ((n = ::read(fd_.get(), buffer.data(), buffer.size())) > 0)
      text.append(buffer.data(), static_cast<size_t>(n));
    ended_ = n == 0;
    return text;
  }
  bool ended() const { return ended_; }
  void shut_down_writing() { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }

 private:
  UniqueFd fd_;
  bool ended_ = false;
};

struct Fixture {
  vireo::testing::TempDir dir;
  std::string path = dir.file("console");
  vireo::testing::ManualLoop turns;
  RecordingFrontend device;
  std::optional<UnixSocketBackend> socket{path};

  Fixture() {
    socket->open(turns.loop(), device);
    socket->set_readable(true);
  }
  ~Fixture() {
    if (socket) socket->close();
  }
  Client client() {
    Client client(path);
    turns.settle();
    return client;
  }
  std::string read(Client& client) {
    std::string text;
    for (std::string more; !(more = client.read()).empty(); turns.settle()) text += more;
    return text;
  }
};

// A socket file that its process left behind.
void leave_stale(const std::string& path) {
  const UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

TEST_CASE("a client talks with the guest") {
  Fixture f;
  Client client = f.client();
  client.send("input");
  f.turns.settle();
  REQUIRE(f.device.received == "input");
  REQUIRE(write(*f.socket, "output") == 6);
  REQUIRE(client.read() == "output");
}

TEST_CASE("a late client gets the newest of what it missed") {
  Fixture f;
  write(*f.socket, "the oldest");
  const std::string kept(PeerBackend::kKept, 'k');
  REQUIRE(write(*f.socket, kept) == kept.size());
  Client client = f.client();
  REQUIRE(f.read(client) == kept);
  write(*f.socket, ", and on");
  REQUIRE(client.read() == ", and on");
}

TEST_CASE("a second client is told and turned away") {
  Fixture f;
  Client first = f.client();
  Client second = f.client();
  REQUIRE_THAT(second.read(), Catch::Contains("in use"));
  REQUIRE(second.ended());
  write(*f.socket, "x");
  REQUIRE(first.read() == "x");
}

TEST_CASE("a host without descriptors lets a client wait, or sends it away") {
  Fixture f;
  SECTION("without any: it waits, and the loop with it") {
    Client client(f.path);
    const bool ran =
        vireo::testing::with_refused_calls({SYS_accept4}, EMFILE, [&] { f.turns.settle(); });
    if (!ran) return;
    client.send("input");
    f.turns.settle();
    CHECK(f.device.received.empty());
    f.turns.advance(std::chrono::seconds(1));
    CHECK(f.device.received == "input");
  }
  SECTION("without a second: it goes, and the next one is served") {
    Client client(f.path);
    const bool ran =
        vireo::testing::with_refused_calls({SYS_fcntl}, EMFILE, [&] { f.turns.settle(); });
    if (!ran) return;
    client.read();
    CHECK(client.ended());
    Client next = f.client();
    next.send("input");
    f.turns.settle();
    CHECK(f.device.received == "input");
  }
}

TEST_CASE("a client that leaves makes room, and what is said meanwhile is kept") {
  Fixture f;
  Client first = f.client();
  first.send("bye");
  first.close();
  f.turns.settle();
  REQUIRE(f.device.received == "bye");
  REQUIRE(write(*f.socket, "anybody?") == 8);
  Client second = f.client();
  REQUIRE(second.read() == "anybody?");
  second.send("yes");
  f.turns.settle();
  REQUIRE(f.device.received == "byeyes");
}

TEST_CASE("a client that leaves while its input is not wanted is noticed") {
  Fixture f;
  f.socket->set_readable(false);
  Client first = f.client();
  SECTION("with nothing unread") {
    first.close();
  }
  SECTION("with something unread, by the next client") {
    first.send("unread");
    first.close();
    f.turns.settle();  // comes to rest: a hang-up is told once
  }
  Client second = f.client();
  write(*f.socket, "x");
  REQUIRE(second.read() == "x");
}

TEST_CASE("a client may end its input and go on listening") {
  Fixture f;
  Client client = f.client();
  client.send("all");
  client.shut_down_writing();
  f.turns.settle();
  REQUIRE(f.device.received == "all");
  write(*f.socket, "answer");
  REQUIRE(client.read() == "answer");
  client.close();
  f.turns.settle();
  Client next = f.client();
  write(*f.socket, "x");
  REQUIRE(next.read() == "x");
}

TEST_CASE("a client that does not read holds the guest back, until it leaves") {
  Fixture f;
  Client client = f.client();
  fill(*f.socket);
  f.turns.settle();
  REQUIRE(f.device.writable_calls == 0);
  SECTION("by reading") {
    f.read(client);
  }
  SECTION("by leaving") {
    client.close();
    f.turns.settle();
  }
  REQUIRE(f.device.writable_calls == 1);
  REQUIRE(write(*f.socket, "on it goes") == 10);
}

TEST_CASE("closed, it serves nobody and forgets nobody") {
  Fixture f;
  Client client = f.client();
  f.socket->close();
  client.send("while paused");
  f.turns.settle();
  REQUIRE(f.device.received.empty());
  f.socket->open(f.turns.loop(), f.device);
  f.socket->set_readable(true);
  f.turns.settle();
  REQUIRE(f.device.received == "while paused");
}

TEST_CASE("the socket file is removed at the end, unless it is somebody else's by then") {
  Fixture f;
  f.socket->close();
  SECTION("ours") {
    f.socket.reset();
    REQUIRE_FALSE(std::filesystem::exists(f.path));
  }
  SECTION("somebody else's") {
    const std::string moved = f.dir.file("moved");
    std::filesystem::rename(f.path, moved);
    leave_stale(f.path);
    f.socket.reset();
    REQUIRE(std::filesystem::exists(f.path));
  }
}

TEST_CASE("a stale socket is replaced, anything else is left alone") {
  const vireo::testing::TempDir dir;
  const std::string path = dir.file("console");
  SECTION("stale") {
    leave_stale(path);
    const UnixSocketBackend backend(path);
    Client client(path);
  }
  SECTION("in use") {
    const UnixSocketBackend backend(path);
    REQUIRE_THROWS_WITH(UnixSocketBackend(path), Catch::Contains("another program listens on"));
    Client client(path);
  }
  SECTION("a file") {
    std::filesystem::create_directory(path);
    REQUIRE_THROWS_WITH(UnixSocketBackend(path), Catch::Contains("is no socket"));
    REQUIRE(std::filesystem::is_directory(path));
  }
}

TEST_CASE("a path that cannot be is refused with the reason") {
  const vireo::testing::TempDir dir;
  REQUIRE_THROWS_WITH(UnixSocketBackend(dir.file(std::string(108, 'x'))),
                      Catch::Contains("107 are possible"));
  REQUIRE_THROWS_AS(UnixSocketBackend(dir.file("no/such")), std::system_error);
}
