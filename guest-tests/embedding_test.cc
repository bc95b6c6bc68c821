// The core as the library sees it: how machines end, pause, live beside each other, and go.
#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "guest-tests/harness.h"
#include "vmm/base/error.h"

namespace vireo::guest_tests {
namespace {

using Catch::Contains;
using Reason = End::Reason;

// --- ends ---

TEST_CASE("the debug-exit port's value is the end") {
  for (const uint32_t value : {0U, 1U, 42U, 255U}) {
    const Outcome outcome =
        run_guest("debug_exit", {.arguments = "value=" + std::to_string(value)});
    REQUIRE(outcome.end);
    CHECK(outcome.end->reason == Reason::debug_exit);
    CHECK(outcome.end->value == value);
  }
}

TEST_CASE("a triple fault names its cause and shows the registers") {
  const Outcome outcome = run_guest("triple_fault");
  INFO(describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == Reason::crash);
  CHECK_THAT(outcome.end->detail, Contains("vCPU 0: triple fault"));
  CHECK_THAT(outcome.end->detail, Contains("rbx=00000000feedface"));
}

TEST_CASE("a guest that KVM cannot go on with names the cause and shows the registers") {
  const Outcome outcome = run_guest("bad_fetch");
  INFO(describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == Reason::crash);
  CHECK_THAT(outcome.end->detail, Contains("internal error"));
  CHECK_THAT(outcome.end->detail, Contains("rbx=00000000feedface"));
  CHECK_THAT(outcome.end->detail, Contains("rip=00000000c9000000"));
}

// An embedder's device with a mistake in it, at the ports 0x6000 to 0x6003.
class FailingDevice final : public Device, private IoHandler {
 public:
  FailingDevice(std::string name, DeviceEnv& env)
      : name_(std::move(name)), region_(env.platform.pio.map({0x6000, 4}, *this, name_)) {}

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override { co_return; }
  void reset() override {}
  void save(StateWriter&) const override {}

 private:
  void io_read(uint64_t, std::span<std::byte>) override { throw ConfigError("nothing to read"); }
  void io_write(uint64_t, std::span<const std::byte>) override {}

  const std::string name_;
  Bus::Region region_;
};

TEST_CASE("what a device throws at a vCPU or a loop ends the machine, not the process") {
  TestMachine of_vcpu("port_io");
  of_vcpu.machine().adopt(std::make_unique<FailingDevice>("failing", of_vcpu.machine().env()));
  of_vcpu.start();
  const Outcome first = of_vcpu.wait();
  REQUIRE(first.end);
  CHECK(first.end->reason == Reason::host_error);
  CHECK_THAT(first.end->detail, Contains("vCPU 0 cannot go on: nothing to read"));

  TestMachine of_loop("spin");
  of_loop.machine().env().loop.post([] { throw ConfigError("nothing to say"); });
  of_loop.start();
  const Outcome second = of_loop.wait();
  REQUIRE(second.end);
  CHECK(second.end->reason == Reason::host_error);
  CHECK_THAT(second.end->detail, Contains("nothing to say"));
}

TEST_CASE("a guest that does nothing any more is stopped by its host") {
  for (const char* guest : {"halt", "spin"}) {
    TestMachine machine(guest);
    machine.start();
    machine.expect("\n");
    CHECK_FALSE(machine.machine().wait_until(std::chrono::steady_clock::now()));
    machine.machine().stop();
    CHECK(machine.machine().wait().reason == Reason::stopped);
  }
}

TEST_CASE("any thread may ask for the end") {
  TestMachine machine("spin", {.arguments = "cpus=2", .vcpus = 2});
  machine.start();
  machine.expect("running");
  std::thread other([&] { machine.machine().request_stop(); });
  CHECK(machine.machine().wait().reason == Reason::stopped);
  other.join();
}

TEST_CASE("a request to end is heard before the start, and while paused") {
  TestMachine early("spin");
  early.machine().request_stop();
  early.start();
  CHECK(early.machine().wait().reason == Reason::stopped);

  TestMachine paused("spin");
  paused.start();
  paused.machine().pause();
  paused.machine().request_stop();
  CHECK(paused.machine().wait().reason == Reason::stopped);
}

TEST_CASE("the first end counts") {
  TestMachine machine("debug_exit", {.arguments = "value=7"});
  machine.start();
  CHECK(machine.machine().wait().value == 7);
  machine.machine().request_stop();
  CHECK(machine.machine().wait().value == 7);
}

// --- pausing ---

TEST_CASE("machines are paused and go on under load, and right after their start") {
  TestMachine machine("busy", {.arguments = "cpus=4", .vcpus = 4});
  machine.start();
  for (int i = 0; i < 200; ++i) {
    machine.machine().pause();
    machine.machine().resume();
  }
  machine.expect("working");
  uint64_t exits = machine.machine().exits();
  for (int i = 0; i < 50; ++i) {
    machine.machine().pause();
    const uint64_t paused = machine.machine().exits();
    CHECK(paused >= exits);
    CHECK(machine.machine().exits() == paused);
    machine.machine().resume();
    exits = paused;
  }
  CHECK_FALSE(machine.machine().wait_until(std::chrono::steady_clock::now()));
}

TEST_CASE("a machine stops while its processors wait to be started") {
  for (int i = 0; i < 5; ++i) {
    TestMachine machine("halt", {.vcpus = 32});
    machine.start();
    machine.machine().stop();
  }
}

// --- several in one process ---

TEST_CASE("machines run after one another and at once") {
  std::vector<std::unique_ptr<TestMachine>> machines;
  for (uint32_t i = 0; i < 5; ++i) {
    machines.push_back(std::make_unique<TestMachine>(
        "debug_exit", GuestOptions{.arguments = "value=" + std::to_string(i)}));
    machines.back()->start();
  }
  for (uint32_t i = 0; i < machines.size(); ++i) CHECK(machines[i]->machine().wait().value == i);
  CHECK(run_guest("debug_exit", {.arguments = "value=9"}).end->value == 9);
}

TEST_CASE("machines have owners on different threads") {
  std::vector<std::thread> owners;
  std::vector<uint32_t> values(4, 0);
  for (uint32_t i = 0; i < values.size(); ++i)
    owners.emplace_back([&values, i] {
      TestMachine machine("debug_exit", {.arguments = "value=" + std::to_string(i + 1)});
      machine.start();
      values[i] = machine.machine().wait().value;
    });
  for (std::thread& owner : owners) owner.join();
  CHECK(values == std::vector<uint32_t>{1, 2, 3, 4});
}

// --- what stays behind ---

size_t entries(const char* directory) {
  size_t count = 0;
  DIR* const dir = ::opendir(directory);
  REQUIRE(dir != nullptr);
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}

// Mappings that belong to machines: vCPUs' pages, and guest memory when it is a file.
size_t machine_mappings() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    if (line.find("kvm-vcpu") != std::string::npos || line.find("vireo-ram") != std::string::npos)
      ++count;
  return count;
}

void run_each_way() {
  const GuestOptions shared{.shared_memory = true};
  run_guest("debug_exit", shared);
  run_guest("power_off", shared);
  run_guest("triple_fault", {.vcpus = 4, .shared_memory = true});
  TestMachine stopped("spin", {.arguments = "cpus=2", .vcpus = 2, .shared_memory = true});
  stopped.start();
  stopped.machine().stop();
  TestMachine paused("halt", shared);
  paused.start();
  paused.machine().pause();
  TestMachine unused("halt", shared);
  CHECK(machine_mappings() >= 6);
}

TEST_CASE("a machine that has gone leaves no thread, descriptor or mapping behind") {
  run_each_way();  // what the process makes once, it has made now
  const size_t descriptors = entries("/proc/self/fd");
  const size_t threads = entries("/proc/self/task");
  for (int i = 0; i < 3; ++i) run_each_way();
  CHECK(entries("/proc/self/fd") == descriptors);
  CHECK(entries("/proc/self/task") == threads);
  CHECK(machine_mappings() == 0);
}

// --- bad input ---

TEST_CASE("a number of vCPUs that cannot be is refused in one sentence") {
  for (const uint32_t vcpus : {0U, kMaxVcpus + 1, 10'000U})
    CHECK_THROWS_WITH(Vm({.vcpus = vcpus}),
                      Contains("1 to 64 vCPUs") && Contains(std::to_string(vcpus)));
}

TEST_CASE("an amount of memory that cannot be is refused in one sentence") {
  CHECK_THROWS_WITH(Vm({.memory = {.size = 0}}), Contains("0 bytes"));
  CHECK_THROWS_WITH(Vm({.memory = {.size = 3}}), Contains("3 bytes"));
  CHECK_THROWS_WITH(Vm({.memory = {.size = 16 * MiB + 1}}), Contains("multiple of 4096"));
  CHECK_THROWS_WITH(Vm({.memory = {.size = 1024 * TiB}}), Contains("the host has"));
  CHECK_THROWS_WITH(Vm({.memory = {.size = ~uint64_t{0} << 12}}), Contains("the host has"));
}

TEST_CASE("a host without KVM, or without the right to it, is told what to do") {
  const TemporaryDirectory directory;
  const auto open = [](const std::string& device) { Vm machine({.kvm_device = device}); };
  CHECK_THROWS_WITH(open(directory.path() / "none"),
                    Contains("does not exist") && Contains("load the kvm_intel"));
  const std::string file = directory.path() / "file";
  std::ofstream(file) << "x";
  CHECK_THROWS_WITH(open(file), Contains("is not a KVM device"));
  CHECK_THROWS_WITH(open(directory.path()), Contains(directory.path()));
}

TEST_CASE("a machine without a kernel does not start") {
  Vm machine({.memory = {.size = 16 * MiB}});
  CHECK_THROWS_WITH(machine.start(), Contains("give it a kernel"));
}

TEST_CASE("a kernel that is not there, or does not fit, is refused and leaves the machine whole") {
  TestMachine missing("no-such-guest");
  CHECK_THROWS_WITH(missing.start(), Contains("no-such-guest"));
  Vm small({.memory = {.size = 1 * MiB}});
  small.boot({.kernel = guest_program("halt")});
  CHECK_THROWS_AS(small.start(), ConfigError);
}

}  // namespace
}  // namespace vireo::guest_tests
