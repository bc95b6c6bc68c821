#include "devices/legacy/debug_exit.h"

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;

TEST_CASE("the debug-exit port ends the machine with what is written, at every width") {
  FakeEnv machine;
  DebugExit port("debug-exit", machine.env);
  machine.out(layout::kPortDebugExit, 0x12);
  machine.pio.write(layout::kPortDebugExit, bytes_of(le16(uint16_t{0x1234})));
  machine.pio.write(layout::kPortDebugExit, bytes_of(le32(0x87654321u)));
  REQUIRE(machine.control.requests ==
          std::vector<std::string>{"debug-exit 18", "debug-exit 4660", "debug-exit 2271560481"});
}

TEST_CASE("the debug-exit port ignores the rest") {
  FakeEnv machine;
  DebugExit port("debug-exit", machine.env);
  machine.out(layout::kPortDebugExit + 1, 1);
  REQUIRE(machine.in(layout::kPortDebugExit) == 0xff);
  REQUIRE(machine.control.requests.empty());
}

TEST_CASE("the debug-exit port is part of a saved machine") {
  vireo::testing::check_state_contract<DebugExit::State>({{}});
  FakeEnv machine;
  DebugExit port("debug-exit", machine.env);
  REQUIRE(state_of(port) == DebugExit::State{});
  port.reset();
  machine.turns.run(port.stop());
}
