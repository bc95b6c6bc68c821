// A machine is paused, saved, made again in a new Vm and goes on.
#include <fstream>
#include <memory>
#include <sstream>

#include <catch2/catch.hpp>

#include "guest-tests/harness.h"
#include "vmm/base/error.h"

namespace vireo::guest_tests {
namespace {

using Irqchip = VmConfig::Irqchip;

GuestOptions ticking(uint32_t vcpus, Irqchip irqchip = Irqchip::apic) {
  return {.arguments = "cpus=" + std::to_string(vcpus), .vcpus = vcpus, .irqchip = irqchip};
}

// The lines "tick N" in the text count from 1 without a gap or a repetition; gives the last N.
uint32_t count_ticks(const std::string& text) {
  std::istringstream lines(text);
  uint32_t ticks = 0;
  for (std::string line; std::getline(lines, line);) {
    if (lines.eof()) break;  // not complete
    if (line.starts_with("tick ")) CHECK(line == "tick " + std::to_string(++ticks));
  }
  return ticks;
}

void check_passed(const Outcome& outcome) {
  INFO(describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == End::Reason::debug_exit);
  CHECK(outcome.end->value == 0);
}

// Saves it as soon as it has said the text; gives all that it has said.
std::string save_after(TestMachine& machine, const std::string& text,
                       const std::filesystem::path& directory) {
  machine.expect(text);
  machine.machine().pause();
  machine.machine().save(directory);
  return machine.console().transcript();
}

void go_through_generations(const GuestOptions& options) {
  const TemporaryDirectory directory;
  std::string said;
  {
    TestMachine first("ticks", options);
    first.start();
    said += save_after(first, "tick 3\n", directory.path() / "1");
  }
  for (int generation = 1; generation <= 2; ++generation) {
    TestMachine next(Snapshot::open(directory.path() / std::to_string(generation)), options);
    next.start();
    next.expect("tick ");
    next.console().write("a");
    next.expect("typed a\n");
    said += save_after(next, "tick ", directory.path() / std::to_string(generation + 1));
  }
  TestMachine last(Snapshot::open(directory.path() / "3"), options);
  last.start();
  last.expect("tick ");
  last.expect("tick ");
  last.console().write("q");
  const Outcome outcome = last.wait();
  check_passed(outcome);
  CHECK(count_ticks(said + outcome.text) > 5);
}

TEST_CASE("a saved machine goes on in a new one, and that one's in the next") {
  go_through_generations(ticking(1));
}

TEST_CASE("a saved machine of several processors goes on") {
  go_through_generations(ticking(4));
}

TEST_CASE("a saved machine with a PC's interrupt controllers goes on") {
  go_through_generations(ticking(2, Irqchip::pc));
}

TEST_CASE("no I/O instruction is lost or done twice over a snapshot") {
  constexpr int kGenerations = 8;
  const TemporaryDirectory directory;
  auto machine = std::make_unique<TestMachine>("stream");
  std::string said;
  for (int generation = 0; generation < kGenerations; ++generation) {
    const auto saved = directory.path() / std::to_string(generation);
    machine->start();
    machine->expect("0\n");
    machine->machine().pause();
    machine->machine().save(saved);
    said += machine->console().transcript();
    machine = std::make_unique<TestMachine>(Snapshot::open(saved), GuestOptions{});
  }
  std::istringstream lines(said);
  int numbers = 0;
  for (std::string line; std::getline(lines, line) && !lines.eof();)
    REQUIRE(line == std::to_string(++numbers));
  CHECK(numbers > kGenerations);
}

TEST_CASE("the machine that was saved goes on, too, beside its copy") {
  const TemporaryDirectory directory;
  TestMachine original("ticks", ticking(2));
  original.start();
  const std::string said = save_after(original, "tick 3\n", directory.path() / "saved");
  original.machine().resume();
  TestMachine copy(Snapshot::open(directory.path() / "saved"), ticking(2));
  copy.start();
  for (TestMachine* machine : {&original, &copy}) {
    machine->expect("tick ");
    machine->expect("tick ");
    machine->console().write("q");
  }
  const Outcome first = original.wait();
  check_passed(first);
  CHECK(count_ticks(first.text) > 3);
  const Outcome second = copy.wait();
  check_passed(second);
  CHECK(count_ticks(said + second.text) > 3);
}

TEST_CASE("a snapshot is refused by a machine of another shape") {
  const TemporaryDirectory directory;
  const auto saved = directory.path() / "saved";
  TestMachine machine("ticks", ticking(2));
  machine.start();
  save_after(machine, "tick 1\n", saved);
  const auto build = [&](const GuestOptions& options) {
    TestMachine other(Snapshot::open(saved), options);
    other.start();
  };
  GuestOptions options = ticking(2);
  options.memory *= 2;
  CHECK_THROWS_WITH(build(options), Catch::Contains("16 MiB of memory and 2 vCPUs"));
  CHECK_THROWS_WITH(build(ticking(3)), Catch::Contains("16 MiB of memory and 2 vCPUs"));
  CHECK_THROWS_AS(build(ticking(2, Irqchip::pc)), std::runtime_error);
  CHECK_THROWS_WITH(
      [&] {
        Vm bare({.memory = {.size = 16 * MiB}, .vcpus = 2}, Snapshot::open(saved));
        bare.start();
      }(),
      Catch::Contains("other devices"));
}

TEST_CASE("a snapshot is not written over anything") {
  const TemporaryDirectory directory;
  TestMachine machine("ticks", ticking(1));
  machine.start();
  machine.machine().pause();
  CHECK_THROWS_AS(machine.machine().save(directory.path()), std::system_error);
  machine.machine().save(directory.path() / "saved");
  CHECK_THROWS_AS(machine.machine().save(directory.path() / "saved"), std::system_error);
  machine.machine().resume();
  machine.expect("tick ");
}

TEST_CASE("a machine that has ended is not saved") {
  const TemporaryDirectory directory;
  TestMachine machine("ticks", ticking(1));
  machine.start();
  machine.machine().request_stop();
  machine.machine().pause();
  CHECK_THROWS_WITH(machine.machine().save(directory.path() / "saved"),
                    Catch::Contains("has ended"));
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("a damaged snapshot is refused, naming the file") {
  const TemporaryDirectory directory;
  const auto saved = directory.path() / "saved";
  TestMachine machine("ticks", ticking(1));
  machine.start();
  save_after(machine, "tick 1\n", saved);
  std::filesystem::resize_file(saved / "memory", 8 * MiB);
  CHECK_THROWS_WITH(TestMachine(Snapshot::open(saved), ticking(1)).start(),
                    Catch::Contains((saved / "memory").string()));
  std::ofstream(saved / "state", std::ios::app) << "x";
  CHECK_THROWS_WITH(Snapshot::open(saved), Catch::Contains((saved / "state").string()));
  std::filesystem::remove(saved / "manifest");
  CHECK_THROWS_WITH(Snapshot::open(saved), Catch::Contains((saved / "manifest").string()));
}

}  // namespace
}  // namespace vireo::guest_tests
