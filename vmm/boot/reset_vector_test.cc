#include "vmm/boot/reset_vector.h"

#include <array>

#include <catch2/catch.hpp>

#include "vmm/memory/layout.h"

namespace vireo {
namespace {

TEST_CASE("the reset vector writes to the power device's reset register") {
  GuestMemory memory({.size = 1 * MiB});
  AcpiNamespace names;
  names.set_power({.reset = 0x1602, .reset_value = 1});
  write_reset_vector(memory, names);
  const std::array<uint8_t, 6> expected{0xba, 0x02, 0x16, 0xb0, 0x01, 0xee};
  CHECK(memory.read<std::array<uint8_t, 6>>(0xffff0) == expected);
}

TEST_CASE("without a power device there is nothing to write to") {
  GuestMemory memory({.size = 1 * MiB});
  write_reset_vector(memory, {});
  CHECK(memory.read<uint8_t>(0xffff0) == 0);
}

}  // namespace
}  // namespace vireo
