// What a guest finds of the processor: its modes, its registers, its other processors.
#include <catch2/catch.hpp>

#include "guest-tests/harness.h"

namespace vireo::guest_tests {
namespace {

TEST_CASE("real mode") {
  expect_pass("real_mode_32");
}

TEST_CASE("protected mode") {
  expect_pass("protected_mode_32");
}

TEST_CASE("32-bit paging", "[hardware]") {
  expect_pass("paging_32");
}

TEST_CASE("long mode") {
  expect_pass("long_mode");
}

TEST_CASE("floating-point and vector registers survive exits") {
  expect_pass("fpu");
}

TEST_CASE("all processors start and interrupt each other") {
  for (const uint32_t vcpus : {2U, 4U, 32U})
    expect_pass("smp", {.arguments = "cpus=" + std::to_string(vcpus), .vcpus = vcpus});
}

TEST_CASE("x2APIC") {
  expect_pass("x2apic", {.arguments = "cpus=1"});
  expect_pass("x2apic", {.arguments = "cpus=4", .vcpus = 4});
}

TEST_CASE("CPUID tells of no threads where there is one processor", "[hardware]") {
  expect_pass("cpuid_topology", {.arguments = "cpus=1"});
}

TEST_CASE("CPUID, APIC ids and the MADT tell of the same processors") {
  for (const uint32_t vcpus : {2U, 3U, 32U})
    expect_pass("cpuid_topology", {.arguments = "cpus=" + std::to_string(vcpus), .vcpus = vcpus});
}

TEST_CASE("CPUID keeps the host's own features to the host") {
  expect_pass("cpuid_host_bits");
}

}  // namespace
}  // namespace vireo::guest_tests
