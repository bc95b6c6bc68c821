#include "tools/vireo/image/key_values.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::cli {

TEST_CASE("options are found by their keys, or as they are otherwise") {
  const KeyValues keys("-o", {{"compat", "1.1"}, {"lazy", "on"}, {"size", "64k"}},
                       {"compat", "lazy", "size", "other"});
  CHECK(keys.find("compat") == "1.1");
  CHECK_FALSE(keys.find("other"));
  CHECK(keys.get("other", "x") == "x");
  CHECK(keys.flag("lazy", false));
  CHECK(keys.flag("other", true));
  CHECK(keys.size("size", 0) == 65536);
  CHECK(keys.size("other", 7) == 7);
}

TEST_CASE("what is wrong with an option names it") {
  CHECK_THROWS_WITH(KeyValues("-o", {{"colour", "red"}}, {"compat", "size"}),
                    "-o: there is no 'colour': the keys are compat, size");
  const KeyValues keys("-o", {{"lazy", "yes"}, {"size", "big"}}, {"lazy", "size"});
  CHECK_THROWS_WITH(keys.flag("lazy", false), "-o: lazy=yes: it is on or off");
  CHECK_THROWS_WITH(keys.size("size", 0), Catch::StartsWith("-o: size: 'big' is not a size"));
}

}  // namespace vireo::cli
