#include <fcntl.h>
#include <sys/stat.h>

#include <list>

#include <catch2/catch.hpp>

#include "devices/display/rfb/testing/client.h"
#include "devices/display/rfb_server.h"
#include "devices/display/testing/painted_screen.h"
#include "devices/display/testing/recorded_input.h"
#include "devices/display/web/http.h"
#include "devices/display/web/website.h"
#include "devices/display/web/websocket.h"
#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

namespace vireo::display {
namespace {

using Catch::Contains;
using vireo::testing::TempDir;

ParsedRequest parse(std::string_view text) {
  return parse_request(bytes_of_text(text));
}
HttpRequest request(std::string_view text) {
  const ParsedRequest parsed = parse(text);
  REQUIRE(parsed.status == ParsedRequest::Status::complete);
  REQUIRE(parsed.length == text.size());
  return parsed.request;
}
bool invalid(std::string_view text) {
  return parse(text).status == ParsedRequest::Status::invalid;
}

void write_file(const std::string& path, std::string_view text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE_FALSE(write_all(file.get(), bytes_of_text(text)));
}

// A folder that could be noVNC's, with a secret beside it.
struct Folder {
  Folder() {
    std::filesystem::create_directories(dir.file("novnc/core"));
    write_file(dir.file("novnc/core/rfb.js"), "export default 1;");
    write_file(dir.file("secret"), "secret");
    std::filesystem::create_symlink(dir.file("secret"), dir.file("novnc/link"));
    std::filesystem::create_symlink("core", dir.file("novnc/core2"));
    REQUIRE(::mkfifo(dir.file("novnc/fifo").c_str(), 0600) == 0);
  }
  std::string path() const { return dir.file("novnc"); }
  TempDir dir;
};

struct Rig {
  explicit Rig(RfbConfig config = {}) {
    config.web = "127.0.0.1:0";
    config.novnc = folder.path();
    server.emplace(loop, screen, input, std::move(config));
  }
  ~Rig() { block_on(loop, server->stop()); }
  Client client() { return Client(loop, server->addresses().at(0)); }

  void run() {
    for (int idle = 0; idle < 4; idle = loop.step() ? 0 : idle + 1) {
    }
  }

  Folder folder;
  std::chrono::nanoseconds passed{0};  // beside the real time
  EventLoop loop{[this] { return EventLoop::Clock::now() + passed; }};
  PaintedScreen screen{{.width = 64, .height = 48}};
  RecordedInput input;
  std::optional<RfbServer> server;
};

// The answer's head and, behind it, as much as it announces.
std::string answer(Client& client) {
  std::string text;
  while (!text.ends_with("\r\n\r\n")) text += client.text(1);
  const size_t at = text.find("Content-Length: ");
  return at == std::string::npos ? text : text + client.text(std::stoul(text.substr(at + 16)));
}

constexpr std::string_view kUpgrade =
    "GET /websocket HTTP/1.1\r\nHost: 127.0.0.1:6080\r\nUpgrade: websocket\r\n"
    "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n";

// A masked frame, as browsers send them.
std::vector<std::byte> frame(int first, std::string_view payload) {
  ByteWriter out;
  out.put(static_cast<uint8_t>(first));
  out.put(static_cast<uint8_t>(0x80 | payload.size()));
  const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
  for (const uint8_t byte : mask) out.put(byte);
  for (size_t i = 0; i < payload.size(); ++i)
    out.put(static_cast<uint8_t>(static_cast<uint8_t>(payload[i]) ^ mask[i % 4]));
  return out.take();
}

// What the server sends in one frame.
std::string unframed(Client& client, int first = 0x82) {
  REQUIRE(client.read(1)[0] == static_cast<std::byte>(first));
  size_t length = std::to_integer<size_t>(client.read(1)[0]);
  if (length == 126) length = client.get<be16>();
  if (length == 127) length = client.get<be64>();
  return client.text(length);
}

}  // namespace

TEST_CASE("requests are understood", "[display]") {
  const HttpRequest get = request(
      "GET /a%20b/c.js?x=1 HTTP/1.1\r\nHost: localhost:6080\r\nConnection:  Close \r\n\r\n");
  REQUIRE(get.method == "GET");
  REQUIRE(get.path == "/a b/c.js");
  REQUIRE(get.header("host") == "localhost:6080");
  REQUIRE_FALSE(get.keeps_connection());
  REQUIRE(parse("GET / HTTP/1.1\r\nHost: x\r\n").status == ParsedRequest::Status::incomplete);
  REQUIRE(parse("").status == ParsedRequest::Status::incomplete);
}

TEST_CASE("what is no request, or could be read in two ways, is refused", "[display]") {
  REQUIRE(invalid("nonsense\r\n\r\n"));
  REQUIRE(invalid("GET / HTTP/2\r\n\r\n"));
  REQUIRE(invalid("GET http://x/ HTTP/1.1\r\n\r\n"));
  REQUIRE(invalid("GET /%zz HTTP/1.1\r\n\r\n"));
  REQUIRE(invalid("GET /%0 HTTP/1.1\r\n\r\n"));
  REQUIRE(invalid("GET /%00 HTTP/1.1\r\n\r\n"));
  REQUIRE(invalid("GET / HTTP/1.1\r\nHost : x\r\n\r\n"));
  REQUIRE(invalid("GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n"));
  REQUIRE(invalid("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"));
  REQUIRE(invalid("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"));
  REQUIRE(invalid(std::string(kMaxRequest, 'x')));
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 65; ++i) many += "h" + std::to_string(i) + ": x\r\n";
  REQUIRE(invalid(many + "\r\n"));
}

TEST_CASE("other pages in the same browser are kept out", "[display]") {
  const auto from = [](const char* host, const char* origin, bool has_password) {
    HttpRequest asked{.method = "GET", .path = "/", .headers = {{"host", host}}};
    if (*origin != '\0') asked.headers["origin"] = origin;
    return is_from_us(asked, has_password);
  };
  REQUIRE(from("127.0.0.1:6080", "", false));
  REQUIRE(from("127.0.0.1:6080", "http://127.0.0.1:6080", false));
  REQUIRE(from("localhost:6080", "http://localhost:6080", false));
  REQUIRE(from("[::1]:6080", "http://[::1]:6080", false));
  REQUIRE_FALSE(from("127.0.0.1:6080", "http://evil.example", false));
  REQUIRE_FALSE(from("127.0.0.1:6080", "http://127.0.0.1:8000", false));
  REQUIRE_FALSE(from("127.0.0.1:6080", "null", false));
  REQUIRE_FALSE(from("evil.example:6080", "http://evil.example:6080", false));  // DNS rebinding
  REQUIRE_FALSE(from("", "", false));
  REQUIRE(from("vm.example:6080", "https://vm.example:6080", true));
  REQUIRE_FALSE(from("vm.example:6080", "https://evil.example", true));
}

TEST_CASE("only files beneath the folder are served", "[display]") {
  const Folder folder;
  const Website site(folder.path());
  REQUIRE(site.find("/novnc/core/rfb.js")->content == "export default 1;");
  REQUIRE(site.find("/novnc/core/rfb.js")->type.starts_with("text/javascript"));
  REQUIRE(site.find("/")->type.starts_with("text/html"));
  for (const char* const path :
       {"/novnc/../secret", "/novnc/core/../../secret", "/novnc//etc/passwd", "/novnc/link",
        "/novnc/core2/rfb.js", "/novnc/fifo", "/novnc/core", "/novnc/", "/novnc", "/secret", "",
        "/index.html", "/novnc/none"})
    REQUIRE_FALSE(site.find(path));
  REQUIRE_THROWS_AS(Website(folder.dir.path()), ConfigError);
  REQUIRE_THROWS_AS(Website(folder.dir.file("none")), ConfigError);
}

TEST_CASE("the page and its files come over one connection", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.send(
      "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /vireo.js HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE_THAT(answer(client), Contains("200 OK") && Contains("<!DOCTYPE html>"));
  REQUIRE_THAT(answer(client), Contains("200 OK") && Contains("./novnc/core/rfb.js"));
  client.send("GET /novnc/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE_THAT(answer(client), Contains("404 Not Found"));
  client.send("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE_THAT(answer(client), Contains("405"));
  client.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  REQUIRE_THAT(answer(client), Contains("403"));
  REQUIRE(client.is_sent_away());
}

TEST_CASE("nonsense is answered once", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.send("RFB 003.008\n\r\n\r\n");
  REQUIRE_THAT(answer(client), Contains("400"));
  REQUIRE(client.is_sent_away());
}

TEST_CASE("a WebSocket carries RFB, in frames cut as they come", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.send(std::string(kUpgrade) + "\r\n");
  const std::string accepted = answer(client);
  REQUIRE_THAT(accepted, Contains("101 Switching Protocols") &&
                             Contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") &&
                             Contains("Sec-WebSocket-Protocol: binary"));
  REQUIRE(unframed(client) == kProtocol);
  client.send(frame(0x02, "RFB 003"));
  client.send(frame(0x89, "are you there"));  // a ping in the middle of a message
  client.send(frame(0x80, ".008\n"));
  REQUIRE(unframed(client, 0x8a) == "are you there");
  REQUIRE(unframed(client) == std::string("\1\1", 2));
  client.send(frame(0x82, "\1"));
  REQUIRE(unframed(client) == std::string("\0\0\0\0", 4));
  client.send(frame(0x82, "\1"));
  REQUIRE_THAT(unframed(client), Contains("vireo"));
  const std::string_view ask("\3\0\0\0\0\0\xff\xff\xff\xff", 10);
  client.send(frame(0x82, ask));
  REQUIRE(unframed(client).size() == 4 + 12 + 64 * 48 * 4);
  client.send(frame(0x88, "\x03\xe8 bye"));
  REQUIRE(unframed(client, 0x88) == "\x03\xe8");
  REQUIRE(client.is_sent_away());
}

TEST_CASE("noVNC of one's own finds the WebSocket where websockify has it", "[display]") {
  Rig rig;
  std::string upgrade(kUpgrade);
  const bool names_binary = GENERATE(true, false);
  if (!names_binary) upgrade.erase(upgrade.find("Sec-WebSocket-Protocol"));
  upgrade.replace(upgrade.find("/websocket"), 10, "/websockify");
  Client client = rig.client();
  client.send(upgrade + "\r\n");
  const std::string accepted = answer(client);
  REQUIRE_THAT(accepted, Contains("101 Switching Protocols"));
  REQUIRE((accepted.find("Sec-WebSocket-Protocol: binary") != accepted.npos) == names_binary);
  REQUIRE(unframed(client) == kProtocol);
}

TEST_CASE("the page names nothing by an absolute path", "[display]") {
  const Folder folder;
  const Website site(folder.path());
  for (const char* const path : {"/", "/vireo.css", "/vireo.js"}) {
    const std::string content = site.find(path)->content;
    for (const char* const absolute : {"=\"/", "\"/", "'/", "`/", "location.host"}) {
      CAPTURE(path, absolute);
      REQUIRE(content.find(absolute) == content.npos);
    }
  }
}

TEST_CASE("browsers that say nothing keep no viewer out, nor do those that keep a connection",
          "[display]") {
  Rig rig;
  std::list<Client> browsers;
  for (int i = 0; i < 100; ++i) {
    Client& browser = browsers.emplace_back(rig.loop, rig.server->addresses().at(0));
    if (i % 2 == 0) {
      browser.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      answer(browser);
    }
    while (rig.loop.step()) {
    }
  }
  Client client = rig.client();
  client.send(std::string(kUpgrade) + "\r\n");
  REQUIRE_THAT(answer(client), Contains("101"));
  REQUIRE(unframed(client) == kProtocol);
  REQUIRE(browsers.front().is_sent_away());
}

TEST_CASE("a browser that asks for nothing is sent away soon, one that has asked later",
          "[display]") {
  Rig rig;
  Client silent = rig.client(), half = rig.client(), browser = rig.client();
  half.send("GET / HT");
  browser.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  answer(browser);
  rig.run();
  rig.passed += std::chrono::seconds(6);
  rig.run();
  REQUIRE(silent.is_sent_away());
  REQUIRE(half.is_sent_away());
  browser.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE_THAT(answer(browser), Contains("200 OK"));
  rig.passed += std::chrono::seconds(31);
  rig.run();
  REQUIRE(browser.is_sent_away());
}

TEST_CASE("frames that break the rules end the connection", "[display]") {
  Rig rig;
  const std::vector<std::byte> wrong =
      GENERATE(frame(0x81, "text"), frame(0x80, "goes on"), frame(0xc2, "compressed"),
               frame(0x83, "?"), frame(0x09, "a ping in parts"),
               std::vector<std::byte>{std::byte{0x82}, std::byte{1}, std::byte{'x'}});
  Client client = rig.client();
  client.send(std::string(kUpgrade) + "\r\n");
  answer(client);
  unframed(client);
  client.send(wrong);
  REQUIRE(client.is_sent_away());
}

TEST_CASE("an upgrade that is not one is refused", "[display]") {
  Rig rig;
  Client client = rig.client();
  client.send("GET /websocket HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE_THAT(answer(client), Contains("400"));
  client.send(std::string(kUpgrade) + "Origin: http://evil.example\r\n\r\n");
  REQUIRE_THAT(answer(client), Contains("403"));
}

TEST_CASE("lengths of frames are told in the shortest way, and understood in every", "[display]") {
  REQUIRE(frame_header(WebSocketFrame::kBinary, 125).size() == 2);
  REQUIRE(frame_header(WebSocketFrame::kBinary, 126).size() == 4);
  REQUIRE(frame_header(WebSocketFrame::kBinary, 65536).size() == 10);
  ByteWriter out;
  out.put(uint8_t{0x82});
  out.put(uint8_t{0xff});
  out.put(be64(uint64_t{1} << 63));
  out.put(be32(0));
  REQUIRE(parse_frame(out.take()).status == ParsedFrame::Status::invalid);
}

}  // namespace vireo::display
