#include "devices/net/mac.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::dev {

TEST_CASE("MAC addresses are read and written") {
  CHECK(parse_mac("52:54:00:aB:Cd:01") == MacAddress{0x52, 0x54, 0, 0xab, 0xcd, 1});
  CHECK(to_string(parse_mac("52:54:00:ab:cd:01")) == "52:54:00:ab:cd:01");
}

TEST_CASE("what is no interface's MAC address is refused") {
  for (const char* text : {"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:567",
                           "52-54-00-12-34-56", "52:54:00:12:34:5g", "+2:54:00:12:34:56",
                           "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_mac(text), ConfigError);
  }
}

TEST_CASE("derived addresses are stable, and differ by machine and interface") {
  const MacAddress first = derive_mac("web", 0);
  CHECK(first == derive_mac("web", 0));
  CHECK(to_string(first).substr(0, 9) == "52:54:00:");
  CHECK(first != derive_mac("web", 1));
  CHECK(first != derive_mac("db", 0));
}

}  // namespace vireo::dev
