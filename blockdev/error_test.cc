#include "blockdev/error.h"

#include <catch2/catch.hpp>

using namespace vireo::blk;
using Catch::Matchers::Contains;

TEST_CASE("a refusal tells its reason and compares as the errno it is a kind of") {
  const std::error_code device = Refusal::device_keeps_size;
  REQUIRE(device == std::errc::not_supported);
  REQUIRE(device != std::errc::file_too_large);
  REQUIRE_THAT(device.message(), Contains("block device"));
  REQUIRE(std::error_code(Refusal::clusters_too_small) == std::errc::file_too_large);
  REQUIRE(std::error_code(Refusal::too_many_references) == std::errc::value_too_large);
  REQUIRE(std::error_code(Refusal::backing_name_too_long) == std::errc::filename_too_long);
}
