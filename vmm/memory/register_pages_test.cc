#include "vmm/memory/register_pages.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo {

TEST_CASE("register pages are all ones, apart, and end") {
  RegisterPages pages(0x40000000);
  const RegisterPages::Page first = pages.claim("a");
  CHECK(first.address == 0x40000000);
  CHECK(first.bytes.size() == kPageSize);
  CHECK(std::all_of(first.bytes.begin(), first.bytes.end(),
                    [](std::byte b) { return b == std::byte{0xff}; }));
  const RegisterPages::Page second = pages.claim("b");
  CHECK(second.address == 0x40001000);
  CHECK(second.bytes.data() == pages.memory().data() + kPageSize);
  for (size_t i = 2; i < RegisterPages::kCount; ++i) (void)pages.claim("more");
  CHECK_THROWS_WITH(pages.claim("disk33"), Catch::Contains("disk33"));
}

}  // namespace vireo
