// Ports and memory-mapped I/O.
#include <catch2/catch.hpp>

#include "guest-tests/harness.h"

namespace vireo::guest_tests {
namespace {

TEST_CASE("ports in every width, strings, and where nobody answers") {
  expect_pass("port_io");
}

TEST_CASE("memory-mapped I/O in every width, across pages, and where nobody answers") {
  expect_pass("mmio");
}

TEST_CASE("the serial port, polled") {
  TestMachine machine("uart_echo");
  machine.start();
  machine.expect("type:");
  machine.console().write("hello, guest\n");
  const Outcome outcome = machine.wait();
  INFO(describe(outcome));
  CHECK(outcome.text == "type:hello, guest\n");
}

TEST_CASE("the serial port by interrupts") {
  for (const auto irqchip : {VmConfig::Irqchip::apic, VmConfig::Irqchip::pc}) {
    TestMachine machine("uart_interrupt", {.irqchip = irqchip});
    machine.start();
    machine.expect("type:");
    machine.console().write("interrupts");
    machine.expect("INTERRUPTS");
    machine.console().write(" and more of them, longer than any queue of the port.");
    machine.expect(" AND MORE OF THEM, LONGER THAN ANY QUEUE OF THE PORT.");
    const Outcome outcome = machine.wait();
    INFO(describe(outcome));
    REQUIRE(outcome.end);
    CHECK(outcome.end->value == 0);
  }
}

TEST_CASE("a level-triggered interrupt comes until its line is low", "[hardware]") {
  for (const auto irqchip : {VmConfig::Irqchip::apic, VmConfig::Irqchip::pc})
    expect_pass("level_interrupt", {.irqchip = irqchip});
}

TEST_CASE("the PICs keep quiet until they are set up") {
  expect_pass("pic_quiet", {.irqchip = VmConfig::Irqchip::apic});
  expect_pass("pic_quiet", {.irqchip = VmConfig::Irqchip::pc});
}

}  // namespace
}  // namespace vireo::guest_tests
