// Vireo as other programs see it: with nothing but the headers that are installed.
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "guest-tests/harness.h"
#include "vireo/vireo.h"

namespace vireo::guest_tests {
namespace {

using Reason = End::Reason;

Description description_of(const std::string& guest, const std::string& arguments, Port serial) {
  return {.memory = 16 * MiB,
          .kernel = guest_program(guest),
          .append = arguments,
          .serial = std::move(serial),
          .irqchip = "apic",
          .debug_exit = true};
}

TEST_CASE("a machine that is described ends with the guest's word") {
  Machine machine(description_of("debug_exit", "value=42", "null"));
  machine.start();
  const End end = machine.wait();
  CHECK(end.reason == Reason::debug_exit);
  CHECK(end.value == 42);
}

TEST_CASE("a machine is paused, saved and restored, and its console goes on") {
  const TemporaryDirectory directory;
  const std::string saved = directory.path() / "saved";
  {
    Console console;
    Machine machine(description_of("uart_echo", "", console));
    machine.start();
    console.expect("type:", kPatience);
    console.write("a");
    console.expect("a", kPatience);
    machine.pause();
    machine.save(saved);
    machine.resume();
    console.write("b");
    console.expect("b", kPatience);
    machine.stop();
    CHECK(machine.wait().reason == Reason::stopped);
  }
  Console console;
  Machine machine = Machine::restore(saved, description_of("uart_echo", "", console));
  machine.start();
  console.write("c\n");
  console.expect("c", kPatience);
  CHECK(machine.wait().reason == Reason::debug_exit);
}

TEST_CASE("machines live side by side, move, and end when another thread asks for it") {
  Console consoles[2];
  std::vector<Machine> machines;
  for (const Console& console : consoles)
    machines.emplace_back(description_of("spin", "cpus=1", console));
  for (Machine& machine : machines) machine.start();
  for (Console& console : consoles) console.expect("running", kPatience);
  CHECK_FALSE(machines[0].wait_for(std::chrono::milliseconds(0)));
  std::thread other([&] {
    for (Machine& machine : machines) machine.request_stop();
  });
  for (Machine& machine : machines) CHECK(machine.wait().reason == Reason::stopped);
  other.join();
}

TEST_CASE("the disc of a machine is changed while it runs, and paused") {
  const TemporaryDirectory directory;
  const std::string disc = directory.path() / "disc.iso";
  std::ofstream(disc) << std::string(4096, 'd');
  Description description = description_of("spin", "cpus=1", "null");
  description.disk = {disc + ",format=raw,readonly=on,bus=scsi,id=disk"};
  description.cdrom = {disc, ""};
  Machine machine(description);
  CHECK_THROWS_AS(machine.eject("cdrom0"), std::logic_error);
  machine.start();
  CHECK_THROWS_WITH(machine.eject("cdrom2"), Catch::Contains("no CD-ROM drive 'cdrom2'"));
  CHECK_THROWS_WITH(machine.eject("disk"), Catch::Contains("'disk' is a disk"));
  CHECK_THROWS_WITH(machine.insert("cdrom0", disc), Catch::Contains("eject that first"));
  CHECK_THROWS_WITH(machine.insert("cdrom1", ""), Catch::Contains("'path' is missing"));
  CHECK_THROWS_WITH(machine.insert("cdrom1", "/nowhere"), Catch::Contains("/nowhere"));
  CHECK(machine.eject("cdrom0"));
  machine.insert("cdrom1", disc);
  machine.pause();
  machine.insert("cdrom0", "path=" + disc + ",format=raw");
  CHECK(machine.eject("cdrom1", true));
  machine.stop();
  CHECK_THROWS_AS(machine.insert("cdrom1", disc), std::logic_error);
}

TEST_CASE("a guest that does not say what is waited for is told of with all that it said") {
  Console console;
  Machine machine(description_of("debug_exit", "value=0", console));
  try {
    console.expect("never", std::chrono::milliseconds(0));
    FAIL("nothing was thrown");
  } catch (const ExpectError& error) {
    CHECK(error.reason() == ExpectError::Reason::timeout);
    CHECK(error.transcript().empty());
  }
}

TEST_CASE("what cannot be is an error, and a wrong order too") {
  CHECK_THROWS_WITH(Machine({.memory = 16 * MiB}), Catch::Contains("nothing to start"));
  Description missing = description_of("halt", "", "null");
  missing.disk = {"/nowhere/disk.raw"};
  CHECK_THROWS_WITH(Machine(missing), Catch::Contains("/nowhere/disk.raw"));
  Machine machine(description_of("halt", "", "null"));
  CHECK_THROWS_AS(machine.pause(), std::logic_error);
  CHECK_THROWS_AS(machine.save("/nowhere"), std::logic_error);
  CHECK_THROWS_AS(machine.wait(), std::logic_error);
  machine.start();
  CHECK_THROWS_AS(machine.start(), std::logic_error);
  machine.stop();
  CHECK(machine.wait().reason == Reason::stopped);
  CHECK_THROWS_AS(machine.resume(), std::logic_error);
}

TEST_CASE("the library tells its version") {
  CHECK_THAT(version(), Catch::Matches("[0-9]+[.][0-9]+[.][0-9]+"));
}

}  // namespace
}  // namespace vireo::guest_tests
