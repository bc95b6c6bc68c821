#include "tools/vireo/display_option.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

namespace vireo::cli {
namespace {

using Catch::Contains;
using Sharing = display::RfbConfig::Sharing;
using display::Size;

DisplayOption parse(const std::string& text) {
  return parse_display({text}).value();
}

std::string refused(const std::string& text) {
  try {
    parse_display({text});
    return "accepted";
  } catch (const std::exception& error) {
    return describe(error);
  }
}

}  // namespace

TEST_CASE("--display none is no display") {
  CHECK_FALSE(parse_display({}));
  CHECK_FALSE(parse_display({"none"}));
  CHECK_THAT(refused("none,mode=640x480"), Contains("'none'"));
}

TEST_CASE("--display says where viewers connect, and what they see") {
  const DisplayOption plain = parse("vnc=127.0.0.1:5900");
  CHECK(plain.mode == Size{1024, 768});
  CHECK(plain.server.vnc == "127.0.0.1:5900");
  CHECK(plain.server.web.empty());
  CHECK(plain.server.keyboard == "en-us");
  CHECK(plain.server.sharing == Sharing::allow_exclusive);
  CHECK_FALSE(plain.server.open_to_all);

  const DisplayOption all = parse(
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
  CHECK(parse("vnc=:0,share=ignore").server.sharing == Sharing::ignore);
}

TEST_CASE("several --display are one") {
  const auto option = parse_display({"vnc=127.0.0.1:5900", "web=127.0.0.1:6080"}).value();
  CHECK(option.server.vnc == "127.0.0.1:5900");
  CHECK(option.server.web == "127.0.0.1:6080");
  CHECK_THROWS_AS(parse_display({"vnc=a:1", "vnc=b:1"}), ConfigError);
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

TEST_CASE("the password is a file's first line") {
  const testing::TempFile file(std::string_view("secret\nrest"));
  CHECK(parse("vnc=0.0.0.0:1,password-file=" + file.path()).server.password == "secret");
  const testing::TempFile windows(std::string_view("secret\r\n"));
  CHECK(parse("vnc=0.0.0.0:1,password-file=" + windows.path()).server.password == "secret");
  const testing::TempFile empty(std::string_view("\nsecret"));
  CHECK_THAT(refused("vnc=a:1,password-file=" + empty.path()), Contains("is empty"));
  CHECK_THAT(refused("vnc=a:1,password-file=/does/not/exist"), Contains("cannot open it"));
}

}  // namespace vireo::cli
