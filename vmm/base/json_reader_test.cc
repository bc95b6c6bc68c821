#include "vmm/base/json_reader.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo {
namespace {

using Members = std::map<std::string, std::string>;

TEST_CASE("JSON names: members get dotted keys") {
  CHECK(flatten_json("{}").empty());
  CHECK(
      flatten_json(R"( { "driver" : "raw", "file": {"filename": "a\"b\\", "locking": true} } )") ==
      Members{{"driver", "raw"}, {"file.filename", "a\"b\\"}, {"file.locking", "true"}});
  CHECK(flatten_json(R"({"offset": 512, "backing": null, "x": [1, {"y": -2.5e3}]})") ==
        Members{{"offset", "512"}, {"backing", "null"}, {"x.0", "1"}, {"x.1.y", "-2.5e3"}});
  CHECK(flatten_json(R"({'a': 'b"c'})") == Members{{"a", "b\"c"}});
  CHECK(flatten_json(R"({"a": "\u0041\u00e9\u20ac\n"})") == Members{{"a", "Aé€\n"}});
}

TEST_CASE("JSON names: what is no JSON object is refused") {
  for (const char* text :
       {"", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1} x", "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\u0000\"}",
        "{\"a\":1,\"a\":2}", "{a:1}", "{\"a\":nul}", "{\"a\":\"", "{\"a\" 1}"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(flatten_json(text), ConfigError);
  }
  const std::string deep =
      "{\"a\":" + std::string(100000, '[') + "1" + std::string(100000, ']') + "}";
  CHECK_THROWS_AS(flatten_json(deep), ConfigError);
}

}  // namespace
}  // namespace vireo
