#include "devices/display/rfb_server.h"

#include <list>

#include <catch2/catch.hpp>

#include "devices/display/rfb/testing/client.h"
#include "devices/display/rfb/vnc_password.h"
#include "devices/display/testing/certificate.h"
#include "devices/display/testing/painted_screen.h"
#include "devices/display/testing/recorded_input.h"
#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

namespace vireo::display {
namespace {

using Catch::Contains;
using vireo::testing::TempDir;
using vireo::testing::TempFile;

constexpr std::string_view kOtherKey = R"(-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIDyWjxG3SHzlXMae+V8cRiqx2fFesvwBdsqtxYC43cAqoAoGCCqGSM49
AwEHoUQDQgAEjKou/VLxRp4wEt7QvRuupzkJOf2O2ZkdtjZ9rFy7d8fQBiuGVuXD
E22b7JutzUSTgACVP2CX0mPWaquVZ81+Lw==
-----END EC PRIVATE KEY-----
)";

struct Rig {
  explicit Rig(RfbConfig config = {}) {
    if (config.vnc.empty()) config.vnc = "unix:" + dir.file("vnc");
    config.power_button = [this] { ++powers; };
    server.emplace(loop, screen, input, std::move(config));
  }
  ~Rig() {
    if (server) block_on(loop, server->stop());
  }
  std::string address() const { return server->addresses().at(0); }
  Client client() { return Client(loop, address()); }
  void run() {
    while (loop.step()) {
    }
  }
  // The viewer's picture, once it has all that was painted.
  void check_same(Client& client) {
    bool same = false;
    for (int i = 0; i < 200 && !same; ++i) {
      client.update(i > 0);
      same = is_same(client);
    }
    REQUIRE(same);
  }
  bool is_same(const Client& client) const {
    for (size_t y = 0; y < screen.size().height; ++y)
      for (size_t x = 0; x < screen.size().width; ++x)
        if (client.viewer.picture[y * screen.size().width + x] !=
            client.viewer.format.value(screen.pixel(x, y)))
          return false;
    return true;
  }

  TempDir dir;
  std::chrono::nanoseconds passed{0};  // beside the real time
  EventLoop loop{[this] { return EventLoop::Clock::now() + passed; }};
  PaintedScreen screen{{.width = 150, .height = 100}};
  RecordedInput input;
  int powers = 0;
  std::optional<RfbServer> server;
};

void give_password(Client& client, std::string_view password) {
  client.send("RFB 003.008\n");
  REQUIRE(client.text(12) == kProtocol);
  REQUIRE(client.text(2) == "\1\2");
  client.send({2});
  const auto challenge = client.get<VncChallenge>();
  client.send_wire(expected_response(challenge, password));
}

std::string error_of(const RfbConfig& config) {
  EventLoop loop;
  PaintedScreen screen({.width = 10, .height = 10});
  RecordedInput input;
  try {
    const RfbServer server(loop, screen, input, config);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("viewers of all kinds see what is painted, each at its pace", "[display]") {
  Rig rig;
  Client tight = rig.client(), raw = rig.client(), slow = rig.client();
  tight.join(true, {encoding::kTight, encoding::kCopyRect, encoding::kLastRect});
  raw.join(true, {encoding::kRaw});
  raw.set_format({.bits_per_pixel = 16,
                  .depth = 16,
                  .big_endian = 1,
                  .true_colour = 1,
                  .red_max = 31,
                  .green_max = 63,
                  .blue_max = 31,
                  .red_shift = 11,
                  .green_shift = 5,
                  .blue_shift = 0});
  slow.join(true, {encoding::kZrle});
  slow.ask(false);  // and never reads
  tight.update(false);
  raw.update(false);
  for (int frame = 0; frame < 60; ++frame) {
    rig.screen.paint();
    tight.ask();
    if (frame % 3 == 0) raw.ask();
    rig.loop.step();
    if (frame % 10 == 9) {
      while (tight.viewer.message() != from_server::kUpdate) {
      }
    }
  }
  rig.check_same(tight);
  rig.check_same(raw);
  rig.check_same(slow);
  REQUIRE(tight.name == "vireo");
}

TEST_CASE("a viewer that never reads keeps no other from the screen", "[display]") {
  Rig rig;
  rig.screen.resize({.width = 1024, .height = 768});
  Client dead = rig.client(), alive = rig.client();
  const int little = 4096;
  ::setsockopt(dead.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
  dead.join(true, {encoding::kRaw});
  alive.join(true, {encoding::kZrle});
  for (int i = 0; i < 30; ++i) {
    dead.ask(false);
    rig.screen.paint();
    alive.update(i > 0);
  }
  rig.check_same(alive);
}

TEST_CASE("nobody looks at the screen while no viewer waits", "[display]") {
  Rig rig;
  Client client = rig.client();
  rig.run();
  REQUIRE(rig.screen.looks == 0);
  client.join();
  client.update(false);
  const int looks = rig.screen.looks;
  rig.passed += std::chrono::seconds(5);
  rig.run();
  REQUIRE(rig.screen.looks == looks);
  client.ask();
  client.leave();
  rig.run();
  rig.passed += std::chrono::seconds(5);
  rig.run();
  rig.passed += std::chrono::seconds(5);
  rig.run();
  REQUIRE(rig.screen.looks <= looks + 1);
}

TEST_CASE("a viewer that waits is told of a change whenever it comes", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.join();
  client.update(false);
  client.ask();
  for (int i = 0; i < 20; ++i) {
    rig.passed += std::chrono::milliseconds(50);
    rig.loop.step();
  }
  const int looks = rig.screen.looks;
  REQUIRE(looks > 3);
  rig.screen.fill({.x = 5, .y = 5, .width = 20, .height = 20}, 0x123456);
  REQUIRE(client.viewer.message() == from_server::kUpdate);
  REQUIRE(rig.is_same(client));
}

TEST_CASE("each version of the protocol is spoken", "[display]") {
  Rig rig;
  Client old = rig.client();
  REQUIRE(old.text(12) == kProtocol);
  old.send("RFB 003.003\n");
  REQUIRE(old.get<be32>() == security::kNone);
  old.init(true);
  rig.check_same(old);
  Client seven = rig.client();
  seven.read(12);
  seven.send("RFB 003.007\n");
  REQUIRE(seven.text(2) == "\1\1");
  seven.send({1});
  seven.init(true);
  rig.check_same(seven);
  Client eight = rig.client();
  eight.join();
  rig.check_same(eight);
}

TEST_CASE("who does not speak RFB is sent away", "[display]") {
  Rig rig;
  const char* const greeting =
      GENERATE("GET / HTTP/1.1\r\n\r\n", "RFB 004.000\n", "SSH-2.0-x\r\n...");
  Client client = rig.client();
  client.send(greeting);
  REQUIRE(client.is_sent_away());
}

TEST_CASE("a security type that was not offered is refused with a reason", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.send(client.read(12));
  client.read(2);
  client.send({2});
  REQUIRE(client.get<be32>() == 1);
  REQUIRE_THAT(client.text(client.get<be32>()), Contains("not offered"));
  REQUIRE(client.is_sent_away());
}

TEST_CASE("half a handshake is ended after a while", "[display]") {
  Rig rig;
  Client silent = rig.client();
  Client client = rig.client();
  client.send(client.read(12));
  client.read(2);
  rig.run();
  rig.passed += std::chrono::seconds(6);
  REQUIRE(client.is_sent_away());
  REQUIRE(silent.is_sent_away());
  // A user may look for the password.
  Rig guarded({.password = "sesame"});
  Client slow = guarded.client();
  slow.send(slow.read(12));
  slow.read(2);
  slow.send({2});
  const auto challenge = slow.get<VncChallenge>();
  guarded.passed += std::chrono::seconds(29);
  guarded.run();
  slow.send_wire(expected_response(challenge, "sesame"));
  REQUIRE(slow.get<be32>() == 0);
}

TEST_CASE("the password is asked for and checked", "[display]") {
  Rig rig({.password = "sesame"});
  Client good = rig.client();
  give_password(good, "sesame");
  REQUIRE(good.get<be32>() == 0);
  good.init(true);
  rig.check_same(good);
  for (const char* const wrong : {"", "sesam", "sesame1", "Sesame"}) {
    Client bad = rig.client();
    give_password(bad, wrong);
    rig.run();
    rig.passed += std::chrono::seconds(4);
    REQUIRE(bad.get<be32>() == 1);
    REQUIRE_THAT(bad.text(bad.get<be32>()), Contains("password"));
    REQUIRE(bad.is_sent_away());
  }
  rig.passed += std::chrono::seconds(4);
  Client old = rig.client();
  old.read(12);
  old.send("RFB 003.003\n");
  REQUIRE(old.get<be32>() == security::kVnc);
  old.send_wire(expected_response(old.get<VncChallenge>(), "sesame"));
  REQUIRE(old.get<be32>() == 0);
  old.init(true);
  rig.check_same(old);
}

TEST_CASE("stopping does not wait for who tries passwords", "[display]") {
  Rig rig({.password = "sesame"});
  Client first = rig.client(), bad = rig.client();
  give_password(first, "wrong");
  rig.run();
  give_password(bad, "wrong");
  rig.run();
  block_on(rig.loop, rig.server->stop());
  REQUIRE(bad.is_sent_away());
}

TEST_CASE("passwords are tried slowly, over however many connections", "[display]") {
  Rig rig({.password = "sesame"});
  std::list<Client> guessers;
  for (int i = 0; i < 50; ++i) give_password(guessers.emplace_back(rig.loop, rig.address()), "no");
  size_t answered = 0;
  for (int i = 0; i < 60; ++i) {  // tenths of a second
    rig.run();
    rig.passed += std::chrono::milliseconds(100);
    answered += static_cast<size_t>(std::erase_if(guessers, [](const Client& guesser) {
      std::byte byte{};
      return ::recv(guesser.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    }));
  }
  REQUIRE(answered >= 2);
  REQUIRE(answered <= 4);
  // The owner comes after all of them, and has to wait for the pause only.
  Client owner = rig.client();
  give_password(owner, "sesame");
  rig.run();
  rig.passed += std::chrono::seconds(4);
  REQUIRE(owner.get<be32>() == 0);
  owner.init(true);
  rig.check_same(owner);
}

TEST_CASE("an answer that nobody has time to judge is none", "[display]") {
  Rig rig({.password = "sesame"});
  std::list<Client> guessers;
  for (int i = 0; i < 10; ++i) give_password(guessers.emplace_back(rig.loop, rig.address()), "no");
  rig.run();
  rig.passed += std::chrono::seconds(11);
  rig.run();
  size_t answered = 0;
  for (Client& guesser : guessers) {
    std::byte byte{};
    answered += ::recv(guesser.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? 1 : 0;
    REQUIRE(guesser.is_sent_away());
  }
  REQUIRE(answered <= 2);
}

TEST_CASE("who says nothing keeps nobody out", "[display]") {
  Rig rig;
  std::list<Client> silent;
  for (int i = 0; i < 200; ++i) {
    silent.emplace_back(rig.loop, rig.address());
    rig.run();
  }
  Client viewer = rig.client();
  viewer.join();
  rig.check_same(viewer);
  REQUIRE(silent.front().is_sent_away());
  // Nor do those that could see the screen and do not ask for it.
  std::list<Client> idle;
  for (int i = 0; i < 60; ++i) {
    Client& one = idle.emplace_back(rig.loop, rig.address());
    one.send(one.read(12));
    one.read(2);
    one.send({1});
    one.read(4);
    rig.run();
  }
  Client another = rig.client();
  another.join();
  rig.check_same(another);
  rig.check_same(viewer);
}

TEST_CASE("a viewer that is one too many is told so", "[display]") {
  Rig rig;
  std::list<Client> viewers;
  for (int i = 0; i < 48; ++i) {
    viewers.emplace_back(rig.loop, rig.address()).join();
    viewers.back().update(false);
    viewers.back().ask();
  }
  Client late = rig.client();
  late.send(late.read(12));
  REQUIRE(late.text(1) == std::string(1, '\0'));
  REQUIRE_THAT(late.text(late.get<be32>()), Contains("as many viewers"));
  REQUIRE(late.is_sent_away());
  viewers.pop_front();
  rig.run();
  Client next = rig.client();
  next.join();
  rig.check_same(next);
}

TEST_CASE("a viewer that wants the screen alone gets it, and the next that wants that too",
          "[display]") {
  Rig rig;
  Client first = rig.client(), second = rig.client(), alone = rig.client();
  first.join();
  second.join();
  alone.join(false);
  REQUIRE(first.is_sent_away());
  REQUIRE(second.is_sent_away());
  Client shared = rig.client();
  REQUIRE_THROWS(shared.join(true));
  Client next = rig.client();
  next.join(false);
  REQUIRE(alone.is_sent_away());
  next.leave();
  rig.run();
  Client after = rig.client();
  after.join(true);
  rig.check_same(after);
}

TEST_CASE("with forced sharing nobody gets the screen alone", "[display]") {
  Rig rig({.sharing = RfbConfig::Sharing::force_shared});
  Client first = rig.client();
  first.join();
  Client alone = rig.client();
  REQUIRE_THROWS(alone.join(false));
  rig.check_same(first);
}

TEST_CASE("with sharing ignored everybody sees the screen", "[display]") {
  Rig rig({.sharing = RfbConfig::Sharing::ignore});
  Client first = rig.client(), alone = rig.client();
  first.join();
  alone.join(false);
  rig.check_same(first);
  rig.check_same(alone);
}

TEST_CASE("keys and the pointer arrive", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.join();
  client.key('a', true);
  client.key('a', false);
  client.scancode(0x9d, true);
  client.scancode(0x9d, false);
  client.pointer(10, 20, 1);
  client.pointer(999, 999, 0);
  rig.run();
  REQUIRE(rig.input.take() == "+30 -30 +97 -97 @10,20/1 @149,99/0");
}

TEST_CASE("a viewer that is gone leaves nothing pressed", "[display]") {
  Rig rig;
  {
    Client client = rig.client(), other = rig.client();
    client.join();
    other.join();
    client.scancode(0x1d, true);
    client.scancode(0x38, true);
    client.pointer(3, 4, 5);
    rig.run();
    other.scancode(0x1d, true);
    rig.run();
    REQUIRE(rig.input.take() == "+29 +56 @3,4/5 +29");
    client.leave();
    rig.run();
    REQUIRE(rig.input.take() == "-56 @3,4/0");
  }
  rig.run();
  REQUIRE(rig.input.take() == "-29");
}

TEST_CASE("the server's end releases what is pressed", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.join();
  client.scancode(0x1e, true);
  rig.run();
  block_on(rig.loop, rig.server->stop());
  REQUIRE(rig.input.take() == "+30 -30");
  REQUIRE(client.is_sent_away());
  block_on(rig.loop, rig.server->stop());
}

TEST_CASE("a viewer's power button is pressed, and what there is not is refused", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.join(true, {encoding::kRaw, encoding::kXvp});
  client.update(false);
  REQUIRE(client.viewer.xvp_code == 1);
  client.send({250, 0, 1, 2});
  rig.run();
  REQUIRE(rig.powers == 1);
  client.send({250, 0, 1, 4});
  client.viewer.message();
  REQUIRE(client.viewer.xvp_code == 0);
  REQUIRE(rig.powers == 1);
}

TEST_CASE("clipboard texts are passed over, however long", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.join();
  client.send({6, 0, 0, 0, 0, 0, 0x40, 0});
  client.send(std::string(0x4000, 'x'));
  rig.check_same(client);
  client.send({6, 0, 0, 0, 0, 0x20, 0, 1});  // 2 MiB + 1
  for (int i = 0; i < 64; ++i) {
    client.send(std::string(0x8000, 'x'));
    rig.run();
  }
  client.send("x");
  client.send({6, 0, 0, 0, 0xff, 0xff, 0xff, 0xf8});  // of the extended clipboard
  client.send({0, 0, 0, 1, 1, 1, 1, 1});
  rig.check_same(client);
}

TEST_CASE("a format that there is not ends the connection, and only that", "[display]") {
  Rig rig;
  Client client = rig.client(), other = rig.client();
  client.join();
  other.join();
  client.send({0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0});
  REQUIRE(client.is_sent_away());
  rig.check_same(other);
}

TEST_CASE("what cannot be is refused before anything listens", "[display]") {
  TempDir dir;
  const TempFile certificate(bytes_of_text(kCertificate)), key(bytes_of_text(kKey)),
      other_key(bytes_of_text(kOtherKey));
  const std::string vnc = "unix:" + dir.file("vnc");
  const auto refused = [&](RfbConfig config, const char* why) {
    if (config.vnc.empty()) config.vnc = vnc;
    const std::string error = error_of(config);
    INFO(error);
    REQUIRE_THAT(error, Contains(why));
    REQUIRE_FALSE(std::filesystem::exists(dir.file("vnc")));
  };
  refused({.keyboard = "klingon"}, "there are: ar, bepo, cz");
  refused({.password = "123456789"}, "9 bytes");
  refused({.certificate = certificate.path()}, "both");
  refused({.certificate = certificate.path(), .key = other_key.path()}, "is not of the key");
  refused({.certificate = dir.file("none"), .key = key.path()}, "cannot use the certificate");
  refused({.vnc = "5900"}, "HOST:PORT");
  refused({.vnc = "127.0.0.1:70000"}, "HOST:PORT");
  refused({.vnc = "127.0.0.1:"}, "HOST:PORT");
  refused({.vnc = "::1:5900"}, "HOST:PORT");
  refused({.vnc = "unix:"}, "HOST:PORT");
  refused({.vnc = "0.0.0.0:0"}, "set a password");
  refused({.vnc = "[::]:0"}, "set a password");
  refused({.vnc = "0.0.0.0:0", .certificate = certificate.path(), .key = key.path()},
          "set a password");
  refused({.web = "127.0.0.1:0", .novnc = dir.path()}, "install the package novnc");
  REQUIRE(error_of({.vnc = "0.0.0.0:0", .password = "x"}).empty());
  REQUIRE(error_of({.vnc = "0.0.0.0:0", .open_to_all = true}).empty());
  REQUIRE(error_of({.vnc = vnc, .certificate = certificate.path(), .key = key.path()}).empty());
}

TEST_CASE("a port that is in use is named", "[display]") {
  Rig rig({.vnc = "127.0.0.1:0"});
  REQUIRE_THAT(error_of({.vnc = rig.address()}),
               Contains("another program listens on '127.0.0.1:"));
  Client client = rig.client();
  client.join();
  rig.check_same(client);
}

TEST_CASE("with a certificate nobody comes in without TLS", "[display]") {
  const TempFile certificate(bytes_of_text(kCertificate)), key(bytes_of_text(kKey));
  Rig rig({.certificate = certificate.path(), .key = key.path()});
  Client old = rig.client();
  old.read(12);
  old.send("RFB 003.003\n");
  REQUIRE(old.get<be32>() == 0);
  REQUIRE_THAT(old.text(old.get<be32>()), Contains("TLS"));
  Client client = rig.client();
  client.send(client.read(12));
  REQUIRE(client.text(2) == "\1\x13");
  client.send({19});
  REQUIRE(client.text(2) == std::string("\0\2", 2));
  client.send({0, 2});
  REQUIRE(client.text(2) == std::string("\0\1", 2));
  REQUIRE(client.get<be32>() == security::kX509None);
  client.send_wire(be32(security::kX509None));
  REQUIRE(client.text(1) == "\1");
  client.send("this is no TLS");
  REQUIRE(client.is_sent_away());
}

}  // namespace vireo::display
