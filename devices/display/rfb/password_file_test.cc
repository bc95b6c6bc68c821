#include "devices/display/rfb/password_file.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

namespace vireo::display {

TEST_CASE("the password is a file's first line") {
  const testing::TempFile file(std::string_view("secret\nrest"));
  CHECK(read_password("--password-file", file.path()) == "secret");
  const testing::TempFile windows(std::string_view("secret\r\n"));
  CHECK(read_password("--password-file", windows.path()) == "secret");
  const testing::TempFile empty(std::string_view("\nsecret"));
  CHECK_THROWS_WITH(read_password("--password-file", empty.path()),
                    Catch::StartsWith("--password-file=") && Catch::Contains("is empty"));
  CHECK_THROWS_WITH(read_password("--password-file", "/does/not/exist"),
                    Catch::Contains("cannot open it"));
}

}  // namespace vireo::display
