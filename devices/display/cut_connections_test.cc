// Peers of the screen's server that end their connection after any byte, in every way, reading what
// they are sent or not: nothing of the server may be touched after it has gone, and the next viewer
// finds everything as it was. The same of a host that is short of what a connection needs.
#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include <catch2/catch.hpp>
#include <netinet/in.h>

#include "devices/display/rfb/testing/client.h"
#include "devices/display/rfb_server.h"
#include "devices/display/testing/certificate.h"
#include "devices/display/testing/painted_screen.h"
#include "devices/display/testing/recorded_input.h"
#include "devices/display/testing/tls_client.h"
#include "vmm/testing/refused_calls.h"
#include "vmm/testing/temp_file.h"

namespace vireo::display {
namespace {

using namespace std::string_view_literals;
using vireo::testing::TempDir;
using vireo::testing::TempFile;

// half: says that no more comes, and only then goes. reset: as when its machine forgot it.
enum class Ending : uint8_t { close, half, reset };
constexpr std::array kEndings{Ending::close, Ending::half, Ending::reset};

// What a socket holds of a picture, or of a file, that nobody reads is less than all of it.
constexpr Size kLarge{.width = 640, .height = 480};

// A folder that passes for noVNC's, with a large file.
struct Novnc {
  Novnc() {
    std::filesystem::create_directories(dir.file("core"));
    const UniqueFd file(
        ::open(dir.file("core/rfb.js").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string content(1 << 20, ' ');
    REQUIRE_FALSE(write_all(file.get(), bytes_of_text(content)));
  }
  TempDir dir;
};

struct Rig {
  explicit Rig(RfbConfig config = {}) {
    config.vnc = "unix:" + novnc.dir.file("vnc");
    if (config.web.empty()) config.web = "unix:" + novnc.dir.file("web");
    config.novnc = novnc.dir.path();
    server.emplace(loop, screen, input, std::move(config));
  }
  ~Rig() { block_on(loop, server->stop()); }
  std::string vnc() const { return server->addresses().at(0); }
  std::string web() const { return server->addresses().at(1); }
  void turn() {
    while (loop.step()) {
    }
  }
  // Also what waits for a timer, such as the answer to a wrong password.
  void settle() {
    turn();
    passed += std::chrono::seconds(2);
    turn();
  }

  const Novnc novnc;
  std::chrono::nanoseconds passed{0};  // beside the real time
  EventLoop loop{[this] { return EventLoop::Clock::now() + passed; }};
  PaintedScreen screen{kLarge};
  RecordedInput input;
  std::optional<RfbServer> server;
};

// One peer, which sends no more than `left` bytes.
class Peer {
 public:
  Peer(Rig& rig, const std::string& address, size_t left, bool reads)
      : rig_(rig), client_(rig.loop, address), left_(left), reads_(reads) {}

  bool is_cut() const noexcept { return left_ == 0; }
  size_t sent() const noexcept { return sent_; }
  // As send(): what is beyond the end is not sent.
  ssize_t push(std::span<const std::byte> bytes) {
    const auto part = bytes.first(std::min(bytes.size(), left_));
    const ssize_t sent =
        ::send(client_.fd(), part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) left_ -= static_cast<size_t>(sent);
    if (sent > 0) sent_ += static_cast<size_t>(sent);
    if (part.size() == bytes.size()) return sent;
    errno = ECONNRESET;
    return -1;
  }
  ssize_t pull(std::span<std::byte> into) const {
    return ::recv(client_.fd(), into.data(), into.size(), MSG_DONTWAIT);
  }
  // Lets the server do all that it can; true while there is something to wait for.
  void wait() {
    rig_.settle();
    while (reads_ && drain() > 0) rig_.settle();
  }
  void end(Ending ending) {
    if (ending == Ending::half) ::shutdown(client_.fd(), SHUT_WR);
    if (ending == Ending::half) wait();
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    if (ending == Ending::reset)
      ::setsockopt(client_.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    client_.leave();
    rig_.settle();
  }

 private:
  size_t drain() const {
    size_t got = 0;
    std::array<std::byte, 64 << 10> bytes;
    for (ssize_t n = 0; (n = pull(bytes)) > 0;) got += static_cast<size_t>(n);
    return got;
  }

  Rig& rig_;
  Client client_;
  size_t left_;
  size_t sent_ = 0;
  const bool reads_;
};

// A viewer that comes after them is served.
void check_still_there(Rig& rig) {
  Client client(rig.loop, rig.vnc());
  client.join();
  client.update(false);
}

// Every beginning of the script, and all of it.
void cut_everywhere(Rig& rig, const std::string& address, std::string_view script) {
  for (const Ending ending : kEndings)
    for (const bool reads : {false, true})
      for (size_t length = 0; length <= script.size(); ++length) {
        Peer peer(rig, address, length, reads);
        rig.settle();
        peer.push(bytes_of_text(script));
        peer.wait();
        peer.end(ending);
      }
}

constexpr std::string_view kWholeScreen = "\3\0\0\0\0\0\xff\xff\xff\xff"sv;

// The whole of a session, and a message that there is not.
std::string viewer_script() {
  const std::string ask(kWholeScreen);
  return "RFB 003.008\n\1\1" + std::string("\2\0\0\1\0\0\0\0"sv) + ask +
         std::string("\4\1\0\0\0\0\0a\5\0\0\1\0\1"sv) + ask +
         std::string("\6\0\0\0\0\0\0\3abc\x4d"sv);
}

std::string masked(int first, std::string_view payload) {
  std::string frame{static_cast<char>(first), static_cast<char>(0x80 | payload.size())};
  frame += "\1\2\3\4";
  for (size_t i = 0; i < payload.size(); ++i)
    frame += static_cast<char>(payload[i] ^ static_cast<char>(1 + i % 4));
  return frame;
}

constexpr std::string_view kGetLarge = "GET /novnc/core/rfb.js HTTP/1.1\r\nHost: localhost\r\n\r\n";

std::string browser_script() {
  return "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
         "GET /websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
         "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
         "Sec-WebSocket-Version: 13\r\n\r\n" +
         masked(0x82, "RFB 003.008\n\1\1") + masked(0x82, kWholeScreen) + masked(0x89, "there?") +
         masked(0x82, kWholeScreen) + masked(0x88, "\x03\xe8"sv);
}

}  // namespace

TEST_CASE("a viewer may go after any byte", "[display]") {
  Rig rig;
  cut_everywhere(rig, rig.vnc(), viewer_script());
  check_still_there(rig);
}

TEST_CASE("a viewer may go after any byte of a password", "[display]") {
  Rig rig({.password = "secret"});
  cut_everywhere(rig, rig.vnc(), "RFB 003.008\n\2wrong   answer  "sv);
  cut_everywhere(rig, rig.vnc(), "RFB 003.003\nwrong   answer  "sv);
  Client client(rig.loop, rig.vnc());
  client.send(client.read(12));
  CHECK(client.text(2) == "\1\2");
}

TEST_CASE("a browser may go after any byte", "[display]") {
  Rig rig;
  cut_everywhere(rig, rig.web(), browser_script());
  cut_everywhere(rig, rig.web(), std::string(kGetLarge) + std::string(kGetLarge));
  check_still_there(rig);
}

TEST_CASE("a browser on another machine may go after any byte", "[display]") {
  Rig rig({.web = "127.0.0.1:0"});
  std::string large;
  for (int i = 0; i < 8; ++i) large += kGetLarge;
  cut_everywhere(rig, rig.web(), browser_script());
  for (const Ending ending : kEndings)
    for (size_t length = kGetLarge.size(); length <= large.size(); length += 13) {
      Peer peer(rig, rig.web(), length, false);
      peer.push(bytes_of_text(large));
      peer.wait();
      peer.end(ending);
    }
  check_still_there(rig);
}

namespace {

// What a peer says before TLS, and then inside it. How many bytes it sent.
size_t speak_tls(Rig& rig, const std::string& address, size_t left, Ending ending,
                 std::string_view before, std::string_view inside) {
  Peer peer(rig, address, left, false);
  rig.turn();
  for (const char byte : before) {
    peer.push(bytes_of_text({&byte, 1}));
    rig.turn();
  }
  std::array<std::byte, 4096> answer;
  if (!before.empty()) static_cast<void>(peer.pull(answer));
  TlsClient tls({.push = [&](auto bytes) { return peer.push(bytes); },
                 .pull = [&](auto into) { return peer.pull(into); }});
  auto result = TlsClient::Result::again;
  for (int tries = 0; tries < 20 && !peer.is_cut() && result == TlsClient::Result::again; ++tries) {
    result = tls.handshake();
    rig.turn();
  }
  if (result == TlsClient::Result::done) tls.send(inside);
  peer.wait();
  peer.end(ending);
  return peer.sent();
}

void cut_tls_everywhere(Rig& rig, const std::string& address, std::string_view before,
                        std::string_view inside) {
  const size_t all = speak_tls(rig, address, SIZE_MAX, Ending::close, before, inside);
  REQUIRE(all > before.size() + inside.size() + 200);  // the handshake went well
  for (size_t length = 0; length <= all; ++length)
    speak_tls(rig, address, length, kEndings[length % kEndings.size()], before, inside);
}

}  // namespace

TEST_CASE("the server may stop after any byte of a peer that stays", "[display]") {
  const bool web = GENERATE(false, true);
  const std::string script = web ? browser_script() + std::string(kGetLarge) : viewer_script();
  for (size_t length = 0; length <= script.size(); length += web ? 7 : 1) {
    Rig rig;
    Peer peer(rig, web ? rig.web() : rig.vnc(), length, false);
    rig.turn();
    peer.push(bytes_of_text(script));
    rig.turn();
    block_on(rig.loop, rig.server->stop());
    std::array<std::byte, 4096> bytes;
    ssize_t got = 0;
    while ((got = peer.pull(bytes)) > 0) {
    }
    CHECK((got == 0 || errno == ECONNRESET));
  }
}

TEST_CASE("a peer may go after any byte of TLS and of what it carries", "[display]") {
  const TempFile certificate(bytes_of_text(kCertificate)), key(bytes_of_text(kKey));
  Rig rig({.certificate = certificate.path(), .key = key.path()});
  SECTION("a browser") {
    cut_tls_everywhere(rig, rig.web(), {}, std::string(kGetLarge) + browser_script());
  }
  SECTION("a viewer") {
    cut_tls_everywhere(rig, rig.vnc(), "RFB 003.008\n\x13\0\2\0\0\1\4"sv,
                       viewer_script().substr(13));
  }
  Client client(rig.loop, rig.vnc());
  CHECK(client.text(12) == "RFB 003.008\n");
}

// --- a host that is short of something ---

TEST_CASE("without a descriptor a viewer waits, and the loop with it", "[display]") {
  Rig rig;
  Client client(rig.loop, rig.vnc());
  const bool ran = vireo::testing::with_refused_calls({SYS_accept4}, EMFILE, [&] { rig.turn(); });
  if (!ran) return;
  rig.turn();
  std::array<std::byte, 1> byte;
  CHECK(::recv(client.fd(), byte.data(), byte.size(), MSG_DONTWAIT) < 0);
  rig.settle();
  client.join();
  client.update(false);
}

TEST_CASE("without random bytes nobody is asked for a password, or let in", "[display]") {
  Rig rig({.password = "secret"});
  Client client(rig.loop, rig.vnc());
  client.send(client.read(12));
  CHECK(client.text(2) == "\1\2");
  client.send({2});
  const bool ran = vireo::testing::with_refused_calls({SYS_getrandom}, ENOSYS, [&] { rig.turn(); });
  if (!ran) return;
  CHECK(client.get<be32>() == 1);
  CHECK_THAT(client.text(client.get<be32>()), Catch::Contains("no random bytes"));
  CHECK(client.is_sent_away());
}

}  // namespace vireo::display
