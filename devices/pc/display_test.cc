#include "devices/pc/display.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::pc {
namespace {

using Catch::Contains;
using Sharing = display::RfbConfig::Sharing;
using display::Size;

DisplaySpec parse(const std::string& text) {
  DisplaySpec display;
  keys_of(display).assign("--display", pairs_of(text, ""));
  check("--display", display);
  return display;
}

std::string refused(const std::string& text) {
  try {
    parse(text);
    return "accepted";
  } catch (const std::exception& error) {
    return describe(error);
  }
}

}  // namespace

TEST_CASE("--display says where viewers connect, and what they see") {
  const DisplaySpec plain = parse("vnc=127.0.0.1:5900");
  CHECK(plain.mode == Size{1024, 768});
  CHECK(plain.server.vnc == "127.0.0.1:5900");
  CHECK(plain.server.web.empty());
  CHECK(plain.server.keyboard == "en-us");
  CHECK(plain.server.sharing == Sharing::allow_exclusive);
  CHECK_FALSE(plain.server.open_to_all);

  const DisplaySpec all = parse(
      "web=[::1]:6080,vnc=unix:/run/a,,b,mode=1920x1080,keyboard=de,tls-cert=c.pem,tls-key=k.pem,"
      "share=force-shared,open=on");
  CHECK(all.mode == Size{1920, 1080});
  CHECK(all.server.vnc == "unix:/run/a,b");
  CHECK(all.server.web == "[::1]:6080");
  CHECK(all.server.keyboard == "de");
  CHECK(all.server.certificate == "c.pem");
  CHECK(all.server.key == "k.pem");
  CHECK(all.server.sharing == Sharing::force_shared);
  CHECK(all.server.open_to_all);
  CHECK(parse("vnc=:0,password-file=/does/not/exist").password_file == "/does/not/exist");
  CHECK(parse("vnc=:0,share=ignore").server.sharing == Sharing::ignore);
}

TEST_CASE("--display tells what is wrong") {
  CHECK_THAT(refused("mode=640x480"), Contains("say where viewers connect"));
  CHECK_THAT(refused("vnc=a:1,mode=1024"), Contains("WIDTHxHEIGHT"));
  CHECK_THAT(refused("vnc=a:1,mode=1024*768"), Contains("WIDTHxHEIGHT"));
  for (const std::string mode : {"x", "10x10", "1024x", "x768", "8000x600", "1024x5000", "-1x768",
                                 "1024x768x32", "1024x70000"})
    CHECK_THAT(refused("vnc=a:1,mode=" + mode), Contains("mode=" + mode));
  CHECK_THAT(refused("vnc=a:1,share=yes"), Contains("share"));
  CHECK_THAT(refused("vnc=a:1,open=maybe"), Contains("open"));
  CHECK_THAT(refused("vnc=a:1,colour=red"), Contains("colour"));
}

}  // namespace vireo::pc
