// Timers and clocks.
#include <catch2/catch.hpp>

#include "guest-tests/harness.h"

namespace vireo::guest_tests {
namespace {

TEST_CASE("the local APIC's timer, once and periodic") {
  expect_pass("apic_timer");
}

TEST_CASE("the local APIC's timer with a TSC deadline") {
  expect_pass("tsc_deadline");
}

TEST_CASE("the interval timer through the I/O APIC") {
  expect_pass("pit", {.irqchip = VmConfig::Irqchip::pc});
}

TEST_CASE("the interval timer through the PICs") {
  expect_pass("pic", {.irqchip = VmConfig::Irqchip::pc});
}

TEST_CASE("KVM's clock") {
  expect_pass("kvmclock", {.arguments = "cpus=1"});
  expect_pass("kvmclock", {.arguments = "cpus=4", .vcpus = 4});
}

}  // namespace
}  // namespace vireo::guest_tests
