#include "tools/vireo/exec/result.h"

#include <cerrno>

#include <catch2/catch.hpp>

using namespace vireo::cli;
using State = SandboxResult::State;
using namespace std::chrono_literals;

TEST_CASE("what is the command's is told apart from what is the sandbox's") {
  CHECK(exit_status({.state = State::exited, .number = 3}) == 3);
  CHECK(exit_status({.state = State::signaled, .number = 11}) == 139);
  CHECK(exit_status({.state = State::oom, .number = 9}) == 137);
  CHECK(exit_status({.state = State::stopped, .number = 15}) == 143);
  CHECK(exit_status({.state = State::not_started, .number = ENOENT}) == 127);
  CHECK(exit_status({.state = State::not_started, .number = EACCES}) == 126);
  CHECK(exit_status({.state = State::timeout}) == 124);
  for (const State state : {State::panic, State::lost, State::boot_failed, State::failed})
    CHECK(exit_status({.state = state}) == 125);
}

TEST_CASE("a result is written in JSON") {
  const std::string json = json_of({.state = State::signaled,
                                    .number = 9,
                                    .stage = "run",
                                    .durations = {{"boot", 1500ms}},
                                    .peak_memory = 4096,
                                    .console = "a\"b"});
  for (const char* part :
       {R"("state": "signaled")", R"("status": 137)", R"("signal": 9)", R"("stage": "run")",
        R"("boot": 1.5)", R"("peak-memory": 4096)", R"("console": "a\"b")"}) {
    INFO(part << " in " << json);
    CHECK(json.find(part) != std::string::npos);
  }
  CHECK(json.find("code") == std::string::npos);
  CHECK(json_of({.state = State::boot_failed, .detail = "why"}).find(R"("detail": "why")") !=
        std::string::npos);
}
