#include "tools/vireo/image/secret.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::cli {

TEST_CASE("secrets: a name, and a text or a file") {
  CHECK_NOTHROW(check_secret("secret,id=sec0,data=123456"));
  CHECK_NOTHROW(check_secret("secret,id=sec0,file=key.b64,format=base64"));
  CHECK_NOTHROW(check_secret("qom-type=secret,id=sec0,data=x"));
  for (const char* text :
       {"", "secret", "secret,id=a", "secret,data=x", "secret,id=a,data=x,file=y",
        "secret,id=a,data=x,nonsense=1", "iothread,id=a"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(check_secret(text), ConfigError);
  }
}

}  // namespace vireo::cli
