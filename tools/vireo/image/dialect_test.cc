#include "tools/vireo/image/dialect.h"

#include <catch2/catch.hpp>

namespace vireo::cli {

TEST_CASE("dialect: the name of the program decides") {
  CHECK(dialect_of("vireo") == Dialect::vireo);
  CHECK(dialect_of("/usr/bin/qemu-img") == Dialect::qemu_img);
  CHECK(dialect_of("qemu-io") == Dialect::qemu_io);
  CHECK(dialect_of("./links/qemu-io") == Dialect::qemu_io);
  CHECK(dialect_of("qemu-img-7") == Dialect::vireo);
  CHECK(dialect_of("qemu-img/vireo") == Dialect::vireo);
  CHECK(dialect_of("") == Dialect::vireo);
}

}  // namespace vireo::cli
