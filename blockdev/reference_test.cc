#include "blockdev/reference.h"

#include <filesystem>

#include <catch2/catch.hpp>

#include "blockdev/testing/fixtures.h"

using namespace vireo::blk;
using namespace vireo::blk::testing;
using Catch::Matchers::Contains;

TEST_CASE("names in an image are relative to it") {
  REQUIRE(resolve_reference("/images/top.qcow2", "base.raw") == "/images/base.raw");
  REQUIRE(resolve_reference("top.qcow2", "base.raw") == "base.raw");
  REQUIRE(resolve_reference("a/top.qcow2", "../base.raw") == "a/../base.raw");
  REQUIRE(resolve_reference("a/top.qcow2", "/base.raw") == "/base.raw");
  REQUIRE(resolve_reference("a/top.qcow2", "file:base.raw") == "a/base.raw");
}

TEST_CASE("names that mean no file are told from those of files") {
  REQUIRE(names_protocol("nbd:localhost:10809"));
  REQUIRE(names_protocol("nbd://localhost"));
  REQUIRE(names_protocol("json:{}"));
  REQUIRE_FALSE(names_protocol("file:base.raw"));
  REQUIRE_FALSE(names_protocol("a/b:c"));
  REQUIRE_FALSE(names_protocol("base.raw"));
}

TEST_CASE("a file lies beside an image when both are in one folder, whatever leads there") {
  const TempDir dir;
  std::filesystem::create_directory(dir.path("a"));
  std::filesystem::create_directory_symlink(dir.path("a"), dir.path("link"));
  const std::string image = dir.path("a/top.qcow2");
  REQUIRE(lies_beside(image, dir.path("a/data.raw")));
  REQUIRE(lies_beside(image, dir.path("link/data.raw")));
  REQUIRE(lies_beside(image, dir.path("a/../a/data.raw")));
  REQUIRE_FALSE(lies_beside(image, dir.path("data.raw")));
  REQUIRE_FALSE(lies_beside(image, dir.path("a/b/data.raw")));
  REQUIRE_FALSE(lies_beside(image, dir.path("a/b/..")));
  REQUIRE_FALSE(lies_beside(image, "/dev/stdin"));
  REQUIRE(lies_beside("top.qcow2", "data.raw"));
  REQUIRE_FALSE(lies_beside("top.qcow2", "../data.raw"));
}

TEST_CASE("what an image may name is said in words") {
  REQUIRE(parse_references("on") == References::any);
  REQUIRE(parse_references("beside") == References::beside);
  REQUIRE(parse_references("off") == References::none);
  REQUIRE_THROWS_WITH(parse_references("near"), Contains("near") && Contains("beside"));
}
