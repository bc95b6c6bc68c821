// The real agent, as an ordinary process, through a session.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <catch2/catch.hpp>

#include "agent/host/session.h"
#include "agent/host/testing/agent_process.h"
#include "agent/host/testing/recorded_command.h"

namespace vireo::agent {
namespace {

using namespace std::chrono_literals;

struct Fixture {
  Fixture() {
    REQUIRE(until([this] { return ready; }));
  }

  // Steps the loop until it is so; false when it takes too long.
  template <class Condition>
  bool until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!condition() && std::chrono::steady_clock::now() < deadline) loop.step(100ms);
    return condition();
  }
  void start(RecordedCommand& command, Exec exec, std::string_view script) {
    arguments = block_of({"sh", "-c", script});
    exec.arguments = {3, arguments};
    command.channel = session.start(exec, command.events(session));
  }
  Outcome finish(RecordedCommand& command) {
    REQUIRE(until([&] { return command.outcome.has_value(); }));
    CHECK(why.empty());
    return *command.outcome;
  }
  Outcome run(RecordedCommand& command, std::string_view script, Exec exec = {}) {
    start(command, exec, script);
    session.end_input(command.channel);
    return finish(command);
  }

  EventLoop loop;
  bool ready = false;
  std::string why;
  std::string arguments;
  Session session{Session::Events{.ready = [this] { ready = true; },
                                  .broken = [this](const std::string& text) { why = text; }}};
  AgentProcess process{loop, VIREO_AGENT, session};
};

}  // namespace

TEST_CASE("the agent tells exit statuses and signals apart") {
  Fixture f;
  for (const int status : {0, 1, 127, 137, 255}) {
    RecordedCommand command;
    const Outcome outcome = f.run(command, "exit " + std::to_string(status));
    CHECK(outcome.kind == Outcome::Kind::exited);
    CHECK(outcome.number == status);
  }
  for (const int signal : {SIGTERM, SIGKILL, SIGSEGV, SIGINT}) {
    RecordedCommand command;
    const Outcome outcome = f.run(command, "kill -" + std::to_string(signal) + " $$");
    CHECK(outcome.kind == Outcome::Kind::signaled);
    CHECK(outcome.number == signal);
  }
}

TEST_CASE("output and errors come apart, and whole") {
  Fixture f;
  RecordedCommand command;
  f.run(command,
        "head -c 1000000 /dev/zero | tr '\\0' o; head -c 500000 /dev/zero | tr '\\0' e >&2");
  CHECK(command.out == std::string(1000000, 'o'));
  CHECK(command.error == std::string(500000, 'e'));
}

TEST_CASE("input and output go through at once") {
  Fixture f;
  RecordedCommand command;
  f.start(command, {}, "cat; cat /dev/null");
  std::string text;
  for (int i = 0; text.size() < 2000000; ++i) text += std::to_string(i) + '\n';
  size_t sent = 0;
  REQUIRE(f.until([&] {
    sent += f.session.write(command.channel, bytes_of_text(text).subspan(sent));
    return sent == text.size();
  }));
  f.session.end_input(command.channel);
  f.finish(command);
  CHECK(command.out == text);
}

TEST_CASE("the end of the command decides, whoever else has its output open") {
  Fixture f;
  RecordedCommand command;
  f.run(command, "sleep 60 & echo $!; exit 3");
  CHECK(command.outcome->number == 3);
  const int child = std::atoi(command.out.c_str());
  REQUIRE(child > 0);
  CHECK(::kill(child, SIGKILL) == 0);
}

TEST_CASE("a command does not wait for the end of its input") {
  Fixture f;
  RecordedCommand command;
  f.start(command, {}, "exit 4");
  CHECK(f.finish(command).number == 4);
}

TEST_CASE("a command that reads no more says so") {
  Fixture f;
  RecordedCommand command;
  f.start(command, {}, "exec <&-; exec sleep 60");
  const std::string text(kWindow, 'x');
  f.session.write(command.channel, bytes_of_text(text));
  REQUIRE(f.until([&] { return command.input_closed; }));
  f.session.signal(command.channel, SIGTERM);
  const Outcome outcome = f.finish(command);
  CHECK(outcome.kind == Outcome::Kind::signaled);
  CHECK(outcome.number == SIGTERM);
}

TEST_CASE("a command whose output nobody reads is told by its kernel") {
  Fixture f;
  RecordedCommand command;
  f.start(command, {}, "exec yes");
  REQUIRE(f.until([&] { return !command.out.empty(); }));
  f.session.close_output(command.channel, Stream::out);
  const Outcome outcome = f.finish(command);
  CHECK(outcome.kind == Outcome::Kind::signaled);
  CHECK(outcome.number == SIGPIPE);
}

TEST_CASE("a command gets its directory and environment, and what a log-in would set") {
  Fixture f;
  RecordedCommand command;
  const std::string environment = block_of({"A=b c", "PATH=/usr/bin:/bin"});
  f.run(command, "pwd; echo $A; echo $PATH",
        {.directory = {"/usr"}, .environment = {2, environment}});
  CHECK(command.out == "/usr\nb c\n/usr/bin:/bin\n");
  RecordedCommand bare;
  f.run(bare, "echo ${PATH:+there}");
  CHECK(bare.out == "there\n");
}

TEST_CASE("what cannot be started says why") {
  Fixture f;
  const auto failed = [&](Exec exec, std::string_view program) {
    RecordedCommand command;
    const std::string texts = block_of({program});
    exec.arguments = {1, texts};
    command.channel = f.session.start(exec, command.events(f.session));
    const Outcome outcome = f.finish(command);
    CHECK(outcome.kind == Outcome::Kind::failed);
    return std::pair(outcome.stage, static_cast<int>(outcome.error));
  };
  CHECK(failed({}, "/no/such/program") == std::pair(Stage::execute, ENOENT));
  CHECK(failed({}, "/usr") == std::pair(Stage::execute, EACCES));
  CHECK(failed({.directory = {"/no/such"}}, "true") == std::pair(Stage::directory, ENOENT));
  CHECK(failed({.user = {"no-such-user"}}, "true") == std::pair(Stage::user, ENOENT));
  RecordedCommand command;
  command.channel = f.session.start({}, command.events(f.session));
  CHECK(f.finish(command).stage == Stage::request);
}

TEST_CASE("a terminal has its size, its keys and its end") {
  Fixture f;
  RecordedCommand command;
  f.start(command, {.terminal = 1, .rows = 33, .columns = 77},
          "stty size; read a; echo got $a; cat; stty size");
  f.session.write(command.channel, bytes_of_text("word\n"));
  REQUIRE(f.until([&] { return command.out.find("got word") != std::string::npos; }));
  f.session.resize(command.channel, {.rows = 12, .columns = 34});
  f.session.end_input(command.channel);
  CHECK(f.finish(command).number == 0);
  CHECK(command.out.find("33 77") != std::string::npos);
  CHECK(command.out.find("12 34") != std::string::npos);
}

TEST_CASE("the end of a terminal's input ends an unfinished line, too") {
  Fixture f;
  RecordedCommand command;
  f.start(command, {.terminal = 1, .rows = 1, .columns = 1}, "stty -echo; echo up; cat");
  REQUIRE(f.until([&] { return command.out.find("up") != std::string::npos; }));
  f.session.write(command.channel, bytes_of_text("abc"));
  f.session.end_input(command.channel);
  CHECK(f.finish(command).number == 0);
  CHECK(command.out.ends_with("abc"));
}

TEST_CASE("a terminal that nobody looks at hangs up") {
  Fixture f;
  RecordedCommand command;
  f.start(command, {.terminal = 1, .rows = 1, .columns = 1}, "exec yes");
  REQUIRE(f.until([&] { return !command.out.empty(); }));
  f.session.close_output(command.channel, Stream::out);
  const Outcome outcome = f.finish(command);
  CHECK(command.input_closed);
  CHECK((outcome.kind == Outcome::Kind::signaled || outcome.number != 0));
}

TEST_CASE("a command of another user's can open its streams by their names") {
  if (::geteuid() != 0) return;
  Fixture f;
  RecordedCommand command;
  f.run(command, "id -un; echo told >/dev/stderr", {.user = {"nobody"}});
  CHECK(command.out == "nobody\n");
  CHECK(command.error == "told\n");
}

TEST_CASE("what is no message ends the agent at once") {
  Fixture f;
  const FrameHeader header{.length = uint32_t{kMaxToGuest + 1}};
  f.process.send(bytes_of(header));
  CHECK(f.process.wait() == 0);
}

TEST_CASE("keys of a terminal are signals there") {
  Fixture f;
  RecordedCommand command;
  f.start(command, {.terminal = 1, .rows = 1, .columns = 1}, "echo up; read a");
  REQUIRE(f.until([&] { return command.out.find("up") != std::string::npos; }));
  f.session.write(command.channel, bytes_of_text("\x03"));
  CHECK(f.finish(command).number == SIGINT);
}

TEST_CASE("commands run at once, as many as there is room for") {
  Fixture f;
  std::vector<RecordedCommand> commands(kMaxCommands + 1);
  for (RecordedCommand& command : commands) f.start(command, {}, "read a; exit $a");
  REQUIRE(f.until([&] { return commands.back().outcome.has_value(); }));
  CHECK(commands.back().outcome->stage == Stage::request);
  commands.pop_back();
  for (size_t i = 0; i < commands.size(); ++i)
    f.session.write(commands[i].channel, bytes_of_text(std::to_string(i) + "\n"));
  for (size_t i = 0; i < commands.size(); ++i) CHECK(f.finish(commands[i]).number == i);
}

TEST_CASE("the agent answers a ping, and ends when the port closes or it is told to") {
  Fixture f;
  bool ponged = false;
  f.session.ping([&] { ponged = true; });
  REQUIRE(f.until([&] { return ponged; }));
  SECTION("the port closes") {
    f.process.close();
  }
  SECTION("it is told to") {
    f.session.power_off();
    f.loop.step();
  }
  CHECK(f.process.wait() == 0);
}

}  // namespace vireo::agent
