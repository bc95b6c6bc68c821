#include "vmm/base/json.h"

#include <catch2/catch.hpp>

namespace vireo {
namespace {

TEST_CASE("JSON keeps the order of its members, pretty and on a line") {
  Json list = Json::array();
  list.add(1).add(Json::object().add("b", true).add("a", "x"));
  CHECK(list.line() == R"([ 1, { "b": true, "a": "x"}])");
  CHECK(list.pretty() == "[\n    1,\n    {\n        \"b\": true,\n        \"a\": \"x\"\n    }\n]");
}

TEST_CASE("JSON text is escaped") {
  CHECK(Json("a\"b\\c").line() == R"("a\"b\\c")");
  CHECK(Json("\n\x1b\x7f").line() == R"("\u000a\u001b\u007f")");
  CHECK(Json("é€😀").line() == "\"é€😀\"");
  CHECK(Json(18446744073709551615ULL).line() == "18446744073709551615");
}

TEST_CASE("what would steer a terminal is escaped") {
  CHECK(Json("\x1b[\xc2\x9b\xe2\x80\xae").line() == "\"\\u001b[\\u009b\\u202e\"");
}

TEST_CASE("bytes that are no UTF-8 are replaced") {
  CHECK(Json("\xff").line() == R"("\ufffd")");
  CHECK(Json("a\xc3").line() == R"("a\ufffd")");
  CHECK(Json("\xc0\x80").line() == R"("\ufffd\ufffd")");            // overlong
  CHECK(Json("\xed\xa0\x80").line() == R"("\ufffd\ufffd\ufffd")");  // a surrogate
  CHECK(Json("\xf4\x90\x80\x80").line() == R"("\ufffd\ufffd\ufffd\ufffd")");
}

}  // namespace
}  // namespace vireo
