#include "vmm/base/log.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/base/line_writer.h"
#include "vmm/base/printable.h"

namespace vireo {

namespace {

constexpr std::array<std::string_view, 6> kLevelNames{"trace", "debug", "info",
                                                      "warn",  "error", "off"};

// In local time, to the millisecond.
std::string time_of_day() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto since_epoch =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec,
                     since_epoch.count() % 1000);
}

std::string line_of(LogLevel level, std::string_view component, std::string_view text) {
  const std::string_view name =
      level == LogLevel::warn ? "warning" : kLevelNames[static_cast<size_t>(level)];
  return fmt::format("{} {} {}: {}", time_of_day(), name, printable(component), printable(text));
}

// Lets so many lines pass in any second.
class LineLimit {
 public:
  using Time = Logger::Clock::time_point;
  // How many were suppressed before this one, or nothing when this one is to be suppressed too.
  std::optional<uint64_t> admit(Time at) {
    Time& oldest = times_[passed_ % kPerSecond];
    if (passed_ >= kPerSecond && at - oldest < std::chrono::seconds(1)) {
      ++suppressed_;
      return std::nullopt;
    }
    oldest = at;
    ++passed_;
    return std::exchange(suppressed_, 0);
  }

 private:
  static constexpr size_t kPerSecond = 10;
  std::array<Time, kPerSecond> times_{};  // when the last ones passed, as a ring
  uint64_t passed_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace

LogLevel parse_log_level(std::string_view name) {
  for (size_t i = 0; i < kLevelNames.size(); ++i)
    if (kLevelNames[i] == name) return static_cast<LogLevel>(i);
  throw ConfigError(
      fmt::format("unknown log level '{}': use trace, debug, info, warn, error or off", name));
}

struct Logger::Shared {
  LogLevel level;
  Sink sink;
  std::function<Clock::time_point()> now;
  std::shared_ptr<LineWriter> writer;  // behind the sink, when it is one of ours
  std::mutex mutex;
  std::map<std::pair<const char*, uint32_t>, LineLimit> limits;  // guarded by the mutex

  std::optional<uint64_t> admit(LogPlace place) {
    const std::lock_guard lock(mutex);
    return limits[{place.file, place.line}].admit(now());
  }
};

Logger::Logger(LogLevel level, Sink sink, std::function<Clock::time_point()> now)
    : shared_(std::make_shared<Shared>()) {
  shared_->level = level;
  shared_->sink = std::move(sink);
  shared_->now = std::move(now);
}

Logger Logger::over(LogLevel level, const std::shared_ptr<LineWriter>& writer) {
  Logger log(level, [writer](LogLevel at, std::string_view component, std::string_view text) {
    writer->write(line_of(at, component, text));
  });
  log.shared_->writer = writer;
  return log;
}

Logger Logger::to_stderr(LogLevel level) {
  return over(level, std::make_shared<LineWriter>(STDERR_FILENO));
}

// Standard error is told once that the file does not take lines, such as one on a full disk.
Logger Logger::to_file(LogLevel level, const std::string& path) {
  const auto writer = std::make_shared<LineWriter>(path);
  const auto told = std::make_shared<std::atomic<bool>>(false);
  Logger log(level, [=](LogLevel at, std::string_view component, std::string_view text) {
    if (writer->write(line_of(at, component, text)) || told->exchange(true)) return;
    LineWriter(STDERR_FILENO)
        .write(
            line_of(LogLevel::warn, "log",
                    fmt::format("the log file '{}' does not take all lines: some are lost", path)));
  });
  log.shared_->writer = writer;
  return log;
}

bool Logger::enabled(LogLevel level) const noexcept {
  return shared_ && level >= shared_->level && shared_->level != LogLevel::off;
}

void Logger::write(LogLevel level, std::string_view component, std::string_view text,
                   LogPlace place) const {
  if (!enabled(level)) return;
  const std::optional<uint64_t> suppressed = shared_->admit(place);
  if (!suppressed) return;
  if (*suppressed == 0) return shared_->sink(level, component, text);
  shared_->sink(level, component,
                fmt::format("{} ({} lines before this one were suppressed)", text, *suppressed));
}

void Logger::reopen() const {
  if (!shared_ || !shared_->writer) return;
  if (const std::error_code error = shared_->writer->reopen())
    write(LogLevel::error, "log",
          fmt::format("the log file cannot be opened again: {}", error.message()));
}

}  // namespace vireo
