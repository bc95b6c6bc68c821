#include "blockdev/probe.h"

#include <string_view>

#include <catch2/catch.hpp>

#include "blockdev/testing/fixtures.h"

using namespace vireo::blk;
using namespace vireo::blk::testing;
using namespace std::string_view_literals;

namespace {

std::string found(size_t offset, std::string_view signature) {
  std::vector<std::byte> start = zeros(kProbeBytes);
  for (size_t i = 0; i < signature.size(); ++i)
    start[offset + i] = static_cast<std::byte>(signature[i]);
  return probe_format(start);
}

}  // namespace

TEST_CASE("images are known by their signatures") {
  REQUIRE(found(0, "QFI\xfb\0\0\0\3"sv) == "qcow2");
  REQUIRE(found(0, "QFI\xfb\0\0\0\2"sv) == "qcow2");
  REQUIRE(found(0, "QFI\xfb\0\0\0\1"sv) == "qcow");
  REQUIRE(found(0, "KDMV"sv) == "vmdk");
  REQUIRE(found(0, "# Disk DescriptorFile\nversion=1\n"sv) == "vmdk");
  REQUIRE(found(64, "\x7f\x10\xda\xbe"sv) == "vdi");
  REQUIRE(found(0, "conectix"sv) == "vpc");
  REQUIRE(found(0, "vhdxfile"sv) == "vhdx");
  REQUIRE(found(0, "QED\0"sv) == "qed");
  REQUIRE(found(0, "LUKS\xba\xbe"sv) == "luks");
  REQUIRE(found(0, "WithoutFreeSpace"sv) == "parallels");
  REQUIRE(found(0, "WithouFreSpacExt"sv) == "parallels");
}

TEST_CASE("what has no signature is raw, however short") {
  REQUIRE(found(0, ""sv) == "raw");
  REQUIRE(found(1, "QFI\xfb\0\0\0\3"sv) == "raw");
  REQUIRE(probe_format({}) == "raw");
  const std::vector<std::byte> start = pattern(66, 1);
  for (size_t length = 0; length <= start.size(); ++length)
    REQUIRE(probe_format(std::span(start).first(length)) == "raw");
}
