#include "tools/vireo/image/format.h"

#include <catch2/catch.hpp>

namespace vireo::cli {
namespace {

TEST_CASE("sizes are shown with three digits") {
  CHECK(human_size(0) == "0 B");
  CHECK(human_size(999) == "999 B");
  CHECK(human_size(1000) == "0.977 KiB");
  CHECK(human_size(196608) == "192 KiB");
  CHECK(human_size(1048576) == "1 MiB");
  CHECK(human_size(10ULL << 30) == "10 GiB");
  CHECK(human_size(~0ULL) == "16 EiB");
}

}  // namespace
}  // namespace vireo::cli
