#include "devices/firmware/debug_console.h"

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;

namespace {

void say(FakeEnv& machine, const std::string& text) {
  for (const char c : text) machine.out(0x402, static_cast<uint8_t>(c));
}

// A second never passes.
Logger listener(std::vector<std::string>& lines, LogLevel expected) {
  return {LogLevel::debug,
          [&lines, expected](LogLevel level, auto, std::string_view text) {
            CHECK(level == expected);
            lines.emplace_back(text);
          },
          [] { return Logger::Clock::time_point(); }};
}

}  // namespace

TEST_CASE("what a BIOS writes becomes lines of the log, none longer than a limit") {
  FakeEnv machine;
  std::vector<std::string> lines;
  machine.platform.log = listener(lines, LogLevel::debug);
  DebugConsole console("bios", machine.env);
  CHECK(machine.in(0x402) == 0xe9);
  say(machine, "SeaBIOS\nBooting");
  CHECK(lines == std::vector<std::string>{"SeaBIOS"});
  CHECK(state_of(console).line == "Booting");
  say(machine, std::string(1000, 'x'));
  CHECK(lines.size() == 4);
  CHECK(lines[1].size() == DebugConsole::kMostOfLine);
  console.reset();
  CHECK(state_of(console) == DebugConsole::State{});
}

TEST_CASE("a guest that writes to the port of a BIOS for ever does not fill the log") {
  FakeEnv machine;
  std::vector<std::string> lines;
  machine.platform.log = listener(lines, LogLevel::debug);
  DebugConsole console("bios", machine.env);
  for (int i = 0; i < 1000; ++i) say(machine, "again\n");
  CHECK(lines.size() == 10);
}

TEST_CASE("a BIOS that finds nothing to start is a warning with a way to go on") {
  FakeEnv machine;
  std::vector<std::string> lines;
  machine.platform.log = listener(lines, LogLevel::warn);
  DebugConsole console("bios", machine.env);
  say(machine, "No bootable device.\n");
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], Catch::StartsWith("No bootable device. ") && Catch::Contains("--kernel"));
}

TEST_CASE("the port of a BIOS keeps the state contract") {
  vireo::testing::check_state_contract<DebugConsole::State>({{}, {"half a line"}});
  FakeEnv machine;
  CHECK_THROWS_AS(DebugConsole("bios", machine.env, {std::string(300, 'x')}), StateError);
}
