#include "vmm/base/parse.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo {
namespace {

TEST_CASE("sizes are bytes with powers of 1024") {
  CHECK(parse_size("--memory", "0") == 0);
  CHECK(parse_size("--memory", "1048576") == 1048576);
  CHECK(parse_size("--memory", "4k") == 4096);
  CHECK(parse_size("--memory", "512M") == 512ULL << 20);
  CHECK(parse_size("--memory", "4G") == 4ULL << 30);
  CHECK(parse_size("--memory", "1.5G") == 3ULL << 29);
  CHECK(parse_size("--memory", "1T") == 1ULL << 40);
  CHECK(parse_size("--memory", "2P") == 2ULL << 50);
  CHECK(parse_size("--memory", "7E") == 7ULL << 60);
  CHECK(parse_size("--memory", "512b") == 512);
  CHECK(parse_size("--memory", "0x1f0") == 0x1f0);
}

TEST_CASE("what is not a size is refused with the option's name") {
  for (const char* text : {"", "M", "-1", "-5M", "1X", "12 M", "1MM", "nan", "inf", "1e30", "0.3",
                           "99999999T", "8E", "0x", "0xg", "0x10k", "0xffffffffffffffff"}) {
    INFO(text);
    CHECK_THROWS_WITH(parse_size("--memory", text), Catch::StartsWith("--memory: "));
  }
}

TEST_CASE("sizes are written as they are read") {
  for (const char* text :
       {"0", "1", "1000", "4k", "512M", "4G", "1536M", "1T", "2P", "7E", "1048575"})
    CHECK(size_text(parse_size("", text)) == text);
}

TEST_CASE("owners are two numbers") {
  CHECK(parse_owner("--share", "1000:100") == std::pair<uint32_t, uint32_t>(1000, 100));
  CHECK(parse_owner("--share", "0:0") == std::pair<uint32_t, uint32_t>(0, 0));
  for (const char* text : {"", "1000", ":", "1:", ":1", "a:b", "1:2:3", "-1:0", "1: 2",
                           "4294967295:0", "4294967296:0"})
    CHECK_THROWS_AS(parse_owner("--share", text), ConfigError);
}

TEST_CASE("numbers have bounds") {
  CHECK(parse_number("--n", "1", 1, 16) == 1);
  CHECK(parse_number("--n", "16", 1, 16) == 16);
  for (const char* text : {"", "0", "17", "-1", "1x", " 1", "99999999999999999999"})
    CHECK_THROWS_WITH(parse_number("--n", text, 1, 16), Catch::Contains("from 1 to 16"));
}

}  // namespace
}  // namespace vireo
