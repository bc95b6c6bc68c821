#include "vmm/base/printable.h"

#include <string>

#include <catch2/catch.hpp>

using namespace vireo;

TEST_CASE("printable text stays as it is") {
  for (const auto* text :
       {"", "disk.qcow2", "a b\\c 'd' {}", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6"})
    CHECK(printable(text) == text);
}

TEST_CASE("controls become escapes") {
  CHECK(printable("\x1b[2J") == "\\x1b[2J");
  CHECK(printable("a\nb\tc\r\x7f") == "a\\x0ab\\x09c\\x0d\\x7f");
  CHECK(printable(std::string("\0x", 2)) == "\\x00x");
  CHECK(printable("\xc2\x9b"
                  "31m") == "\\xc2\\x9b31m");  // CSI of C1
  CHECK(printable("\xc2\xa0") == "\xc2\xa0");  // the first behind C1
}

TEST_CASE("marks of direction and ends of lines become escapes") {
  CHECK(printable("\xe2\x80\xae") == "\\xe2\\x80\\xae");  // U+202E, right-to-left override
  CHECK(printable("\xe2\x81\xa6") == "\\xe2\\x81\\xa6");  // U+2066, left-to-right isolate
  CHECK(printable("\xd8\x9c") == "\\xd8\\x9c");           // U+061C, Arabic letter mark
  CHECK(printable("\xe2\x80\xa8") == "\\xe2\\x80\\xa8");  // U+2028, line separator
  CHECK(printable("\xe2\x80\x94") == "\xe2\x80\x94");     // U+2014, a dash
}

TEST_CASE("bytes that are no UTF-8 become escapes") {
  CHECK(printable("a\xff"
                  "b") == "a\\xffb");
  CHECK(printable("\x9b") == "\\x9b");                             // a lone byte of C1
  CHECK(printable("\xc0\x9b") == "\\xc0\\x9b");                    // overlong
  CHECK(printable("\xe0\x82\x9b") == "\\xe0\\x82\\x9b");           // overlong
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // a surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  CHECK(printable("\xe2\x82") == "\\xe2\\x82");                    // cut off
  CHECK(printable("\xe2\x1b[") == "\\xe2\\x1b[");                  // an escape in place of the rest
}

TEST_CASE("code points are those of RFC 3629") {
  CHECK(code_point("$") == 0x24);
  CHECK(code_point("\xc3\xa9") == 0xe9);
  CHECK(code_point("\xe2\x82\xac") == 0x20ac);
  CHECK(code_point("\xf0\x90\x8d\x88") == 0x10348);
}
