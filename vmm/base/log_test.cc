#include "vmm/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace std::chrono_literals;

namespace {

using Line = std::tuple<LogLevel, std::string, std::string>;

// A logger into a vector, on a clock set by hand.
struct Recorder {
  std::vector<Line> lines;
  Logger::Clock::time_point now{};

  Logger logger(LogLevel level) {
    return Logger(
        level,
        [this](LogLevel at, std::string_view component, std::string_view text) {
          lines.emplace_back(at, component, text);
        },
        [this] { return now; });
  }
  std::string last_text() const { return std::get<2>(lines.back()); }
};

void make_noise(const Logger& log, int times) {
  for (int i = 0; i < times; ++i) log.guest_noise("blk", "nonsense");
}

}  // namespace

TEST_CASE("log levels are parsed by name") {
  REQUIRE(parse_log_level("trace") == LogLevel::trace);
  REQUIRE(parse_log_level("debug") == LogLevel::debug);
  REQUIRE(parse_log_level("info") == LogLevel::info);
  REQUIRE(parse_log_level("warn") == LogLevel::warn);
  REQUIRE(parse_log_level("error") == LogLevel::error);
  REQUIRE(parse_log_level("off") == LogLevel::off);
}

TEST_CASE("an unknown log level is refused with the list of those that are") {
  for (const auto* name : {"", "Info", "warning", "info "}) {
    REQUIRE_THROWS_AS(parse_log_level(name), ConfigError);
    REQUIRE_THROWS_WITH(parse_log_level(name),
                        Catch::EndsWith("use trace, debug, info, warn, error or off"));
  }
}

TEST_CASE("a default logger is silent") {
  const Logger log;
  REQUIRE(!log.enabled(LogLevel::error));
  log.error("x", "y");
  log.guest_noise("x", "y");
}

TEST_CASE("a logger passes its level and those above") {
  Recorder recorder;
  const Logger log = recorder.logger(LogLevel::warn);
  log.debug("a", "1");
  log.info("a", "2");
  log.warn("a", "3");
  log.error("b", "4");
  REQUIRE(recorder.lines ==
          std::vector<Line>{{LogLevel::warn, "a", "3"}, {LogLevel::error, "b", "4"}});
  REQUIRE(!log.enabled(LogLevel::info));
  REQUIRE(log.enabled(LogLevel::warn));
}

TEST_CASE("level off passes nothing") {
  Recorder recorder;
  const Logger log = recorder.logger(LogLevel::off);
  log.error("a", "1");
  log.write(LogLevel::off, "a", "2");
  log.guest_noise("a", "3");
  REQUIRE(recorder.lines.empty());
}

TEST_CASE("guest noise is limited to ten in any second") {
  Recorder recorder;
  const Logger log = recorder.logger(LogLevel::info);
  recorder.now += 1h;
  make_noise(log, 5);
  recorder.now += 900ms;
  make_noise(log, 100);
  REQUIRE(recorder.lines.size() == 10);
  recorder.now += 100ms;  // a second after the first five
  make_noise(log, 100);
  REQUIRE(recorder.lines.size() == 15);
  recorder.now += 10s;
  make_noise(log, 100);
  REQUIRE(recorder.lines.size() == 25);
}

TEST_CASE("the count of suppressed guest noise is told once, with the next that passes") {
  Recorder recorder;
  const Logger log = recorder.logger(LogLevel::info);
  make_noise(log, 42);
  REQUIRE(recorder.last_text() == "nonsense");
  recorder.now += 1s;
  make_noise(log, 1);
  REQUIRE(recorder.last_text() == "nonsense (32 lines before this one were suppressed)");
  make_noise(log, 1);
  REQUIRE(recorder.last_text() == "nonsense");
}

TEST_CASE("copies of a logger share the noise limit") {
  Recorder recorder;
  const Logger log = recorder.logger(LogLevel::info);
  const Logger copy = log;
  make_noise(log, 8);
  make_noise(copy, 8);
  REQUIRE(recorder.lines.size() == 10);
}

TEST_CASE("each place that logs has a limit of its own, whatever the level") {
  Recorder recorder;
  const Logger log = recorder.logger(LogLevel::debug);
  for (int i = 0; i < 50; ++i) log.debug("a", "1");
  for (int i = 0; i < 50; ++i) log.info("a", "2");
  for (int i = 0; i < 50; ++i) log.warn("a", "3");
  for (int i = 0; i < 50; ++i) log.error("a", "4");
  make_noise(log, 50);
  CHECK(recorder.lines.size() == 50);
  log.warn("b", "another place");
  CHECK(recorder.lines.size() == 51);
}

TEST_CASE("lines below the level do not count") {
  Recorder recorder;
  const Logger log = recorder.logger(LogLevel::error);
  const auto both = [&](LogLevel level) { log.write(level, "a", "b"); };
  for (int i = 0; i < 50; ++i) both(LogLevel::warn);
  both(LogLevel::error);
  CHECK(recorder.last_text() == "b");
}

TEST_CASE("guest noise from many threads adds up") {
  Recorder recorder;
  const Logger log = recorder.logger(LogLevel::info);
  std::vector<std::thread> guests;
  // The sink need not lock: the clock stands still, so only the first ten reach it, and these here.
  make_noise(log, 10);
  for (int i = 0; i < 4; ++i) guests.emplace_back([&log] { make_noise(log, 1000); });
  for (std::thread& guest : guests) guest.join();
  REQUIRE(recorder.lines.size() == 10);
  recorder.now += 1s;
  make_noise(log, 1);
  REQUIRE(recorder.last_text() == "nonsense (4000 lines before this one were suppressed)");
}

TEST_CASE("a log file holds one line a message, with level and component, and is appended to") {
  const testing::TempDir dir;
  const std::string path = dir.file("vireo.log");
  Logger::to_file(LogLevel::info, path).info("vda", "opened {}");  // braces are not a format
  Logger::to_file(LogLevel::info, path).error("vdb", "gone");
  const auto lines = testing::read_text(path);
  REQUIRE_THAT(lines,
               Catch::Matches("[0-9:.]+ info vda: opened \\{\\}\n[0-9:.]+ error vdb: gone\n"));
}

TEST_CASE("a log file takes no control characters from a guest") {
  const testing::TempDir dir;
  const std::string path = dir.file("vireo.log");
  Logger::to_file(LogLevel::info, path).warn("a\rb", "host\x1b[2J\nline \xc3\xa9");
  REQUIRE_THAT(testing::read_text(path),
               Catch::EndsWith("a\\x0db: host\\x1b[2J\\x0aline \xc3\xa9\n"));
}

TEST_CASE("a log file that was moved away is made again on demand") {
  const testing::TempDir dir;
  const std::string path = dir.file("vireo.log");
  const Logger log = Logger::to_file(LogLevel::info, path);
  log.info("a", "before");
  std::filesystem::rename(path, dir.file("vireo.log.1"));
  log.reopen();
  log.info("a", "behind");
  CHECK_THAT(testing::read_text(dir.file("vireo.log.1")), Catch::EndsWith("a: before\n"));
  CHECK_THAT(testing::read_text(path), Catch::EndsWith("a: behind\n"));
}

TEST_CASE("a log file that cannot be made again stays the old one") {
  const testing::TempDir dir;
  const std::string path = dir.file("vireo.log");
  const Logger log = Logger::to_file(LogLevel::info, path);
  std::filesystem::rename(path, dir.file("vireo.log.1"));
  std::filesystem::create_directory(path);
  log.reopen();
  log.info("a", "behind");
  CHECK_THAT(
      testing::read_text(dir.file("vireo.log.1")),
      Catch::Contains("cannot be opened again: Is a directory") && Catch::EndsWith("a: behind\n"));
}

TEST_CASE("standard error is told once of a log file that does not take its lines") {
  const testing::TempFile errors;
  const UniqueFd before(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
  REQUIRE(::dup2(errors.open().get(), STDERR_FILENO) == STDERR_FILENO);
  const Logger log = Logger::to_file(LogLevel::info, "/dev/full");
  for (int i = 0; i < 3; ++i) log.info("a", "lost");
  REQUIRE(::dup2(before.get(), STDERR_FILENO) == STDERR_FILENO);
  CHECK_THAT(errors.read_text(),
             Catch::Matches("[0-9:.]+ warning log: the log file '/dev/full' does not take all "
                            "lines: some are lost\n"));
}

TEST_CASE("loggers without a file have nothing to open again") {
  Recorder recorder;
  recorder.logger(LogLevel::info).reopen();
  Logger().reopen();
  CHECK(recorder.lines.empty());
}

TEST_CASE("a log file that cannot be opened is an error that names it, and makes no directory") {
  const testing::TempDir dir;
  const std::string path = dir.file("missing/vireo.log");
  REQUIRE_THROWS_AS(Logger::to_file(LogLevel::info, path), std::system_error);
  REQUIRE_THROWS_WITH(Logger::to_file(LogLevel::info, path),
                      "cannot open the log file '" + path + "': No such file or directory");
  REQUIRE(std::filesystem::is_empty(dir.path()));
}
