#include "tools/vireo/parse.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::cli {
namespace {

TEST_CASE("keys and values, a bare path, and doubled commas") {
  const KeyValues bare("--disk", "a/b=c.img,readonly=on", "path", {"path", "readonly"});
  CHECK(bare.need("path") == "a/b=c.img");
  CHECK(bare.flag("readonly", false));
  const KeyValues named("--disk", "readonly=off,path=x,,y.img", "path", {"path", "readonly"});
  CHECK(named.need("path") == "x,y.img");
  CHECK_FALSE(named.flag("readonly", true));
  CHECK(named.get("format", "raw") == "raw");
}

TEST_CASE("keys that may come more than once keep their order") {
  const KeyValues keys("--net", "user,fwd=b,id=x,fwd=a", "kind", {"kind", "id"}, {"fwd"});
  CHECK(keys.all("fwd") == std::vector<std::string>{"b", "a"});
  CHECK(keys.all("id") == std::vector<std::string>{"x"});
  CHECK(keys.all("none").empty());
  CHECK(keys.need("kind") == "user");
  CHECK_THROWS_WITH(KeyValues("--net", "user,colour=red", "kind", {"kind"}, {"fwd"}),
                    Catch::Contains("kind, fwd"));
}

TEST_CASE("bad keys and values are refused") {
  const auto parse = [](const char* text) {
    return KeyValues("--disk", text, "path", {"path", "readonly"});
  };
  CHECK_THROWS_AS(parse("x.img,readonly"), ConfigError);
  CHECK_THROWS_AS(parse("x.img,colour=red"), ConfigError);
  CHECK_THROWS_AS(parse("x.img,path=y"), ConfigError);
  CHECK_THROWS_AS(parse("x.img,"), ConfigError);
  CHECK_THROWS_AS(parse("x.img,readonly=yes").flag("readonly", false), ConfigError);
  CHECK_THROWS_AS(parse("readonly=on").need("path"), ConfigError);
}

}  // namespace
}  // namespace vireo::cli
