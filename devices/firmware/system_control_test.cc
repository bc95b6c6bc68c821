#include "devices/firmware/system_control.h"

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;
using Requests = std::vector<std::string>;

TEST_CASE("port 0x92 keeps the A20 bit, and its bit 0 resets") {
  FakeEnv machine;
  const SystemControl control("control", machine.env);
  CHECK(machine.in(0x92) == 2);
  machine.out(0x92, 0);
  CHECK(machine.in(0x92) == 0);
  CHECK(machine.control.requests.empty());
  machine.out(0x92, 3);
  CHECK(machine.in(0x92) == 2);
  CHECK(machine.control.requests == Requests{"reset"});
}

TEST_CASE("port 0xcf9 resets with 2 and then 6, and PCI's ports beside it are not there") {
  FakeEnv machine;
  const SystemControl control("control", machine.env);
  machine.out(0xcf9, 2);
  CHECK(machine.control.requests.empty());
  machine.out(0xcf9, 6);
  CHECK(machine.control.requests == Requests{"reset"});
  machine.pio.write(0xcf8, bytes_of(le32(0x80000600)));
  le32 address = 0;
  machine.pio.read(0xcf8, writable_bytes_of(address));
  CHECK(address != 0x80000600);
  CHECK(machine.control.requests.size() == 1);
}

TEST_CASE("the control ports keep the state contract") {
  const SystemControl::State used{0, 2};
  vireo::testing::check_state_contract<SystemControl::State>({{}, used});
  FakeEnv machine;
  SystemControl control("control", machine.env, used);
  CHECK(state_of(control) == used);
  control.reset();
  CHECK(state_of(control) == SystemControl::State{});
}
