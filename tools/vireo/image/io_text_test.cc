#include "tools/vireo/image/io_text.h"

#include <catch2/catch.hpp>

using namespace vireo::cli;
using namespace std::chrono_literals;

TEST_CASE("amounts are told as qemu-io tells them") {
  CHECK(io_size(0) == "0 bytes");
  CHECK(io_size(512) == "512 bytes");
  CHECK(io_size(0.0331) == "0.033100 bytes");
  CHECK(io_size(1536) == "1.500 KiB");
  CHECK(io_size(65536) == "64 KiB");
  CHECK(io_size(4063232) == "3.875 MiB");
  CHECK(io_size(5.0 * 1024 * 1024 * 1024) == "5 GiB");
}

TEST_CASE("reports for people and for machines") {
  const IoDone done{.what = "wrote", .offset = 4096, .bytes = 65536, .time = 20ms};
  CHECK(io_report(done, false) ==
        "wrote 65536/65536 bytes at offset 4096\n"
        "64 KiB, 1 ops; 00.02 sec (3.125 MiB/sec and 50.0000 ops/sec)\n");
  CHECK(io_report(done, true) == "65536,1,0:00:00.02,3276800.000,50.000\n");
  const IoDone late{.what = "read", .bytes = 0, .time = 3723s};
  CHECK(
      io_report(late, false) ==
      "read 0/0 bytes at offset 0\n0 bytes, 1 ops; 1:02:03.00 (0 bytes/sec and 0.0003 ops/sec)\n");
}

TEST_CASE("bytes are dumped with their addresses") {
  std::vector<std::byte> bytes(18, std::byte{0xff});
  bytes[1] = std::byte{'a'};
  CHECK(io_dump(bytes, 512) ==
        "00000200:  ff 61 ff ff ff ff ff ff ff ff ff ff ff ff ff ff  .a..............\n"
        "00000210:  ff ff  ..\n");
}

TEST_CASE("the words of a command") {
  const auto words = split_words("  -qP 0x1f  512\t1k ");
  REQUIRE(words.size() == 4);
  const IoWords parsed = parse_words("read", words, "CqvP:");
  CHECK(parsed.has('q'));
  CHECK_FALSE(parsed.has('v'));
  CHECK(parsed.options.at('P') == "0x1f");
  CHECK(parsed.rest == std::vector<std::string>{"512", "1k"});
  CHECK_THROWS_WITH(parse_words("read", words, "q"), "read: invalid option -- 'P'");
  const auto alone = split_words("-P");
  CHECK_THROWS_WITH(parse_words("read", alone, "P:"), "read: option requires an argument -- 'P'");
  const auto glued = split_words("-P7 -- -1");
  CHECK(parse_words("read", glued, "P:").options.at('P') == "7");
  CHECK(parse_words("read", glued, "P:").rest == std::vector<std::string>{"-1"});
}

TEST_CASE("numbers and patterns that are none are told") {
  CHECK(io_number("1.5k") == 1536);
  CHECK(io_number("0x200") == 512);
  CHECK(io_pattern("0xcd") == std::byte{0xcd});
  CHECK(io_pattern("255") == std::byte{255});
  CHECK_THROWS_WITH(io_pattern("256"), "256 is not a valid pattern byte");
  CHECK_THROWS_WITH(io_pattern("x"), "x is not a valid pattern byte");
  CHECK_THROWS_WITH(io_number("abc"), Catch::Matchers::StartsWith("Parsing error: non-numeric"));
  CHECK_THROWS_WITH(io_length("3G"), "length cannot exceed 2147483136, given 3G");
}
