// Logging without process-wide state: a Logger is a small handle (sink + component name) that is
// passed to whoever logs; copies share the sink. Any thread. Sinks must be thread-safe.
//
//   log.info("vda", fmt::format("{} requests", n));       set-up and the life of the machine
//   log.guest_noise("blk", "request beyond the disk");     what a guest causes at will
//
// Guests, images and peers can cause nearly all that is logged once a machine runs. Each place in
// the code therefore has its limit, and all of guest_noise() has one together: at most 10 lines in
// any second for each sink. How many were suppressed is told with the next one that passes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace vireo {

class LineWriter;

enum class LogLevel : uint8_t { trace, debug, info, warn, error, off };

// "trace".."off"; throws ConfigError that lists the levels.
LogLevel parse_log_level(std::string_view name);

// A line of the source, for the limit: std::source_location, which clang 14 lacks.
struct LogPlace {
  const char* file;
  uint32_t line;
  static constexpr LogPlace current(const char* file = __builtin_FILE(),
                                    uint32_t line = __builtin_LINE()) noexcept {
    return {file, line};
  }
};

class Logger {
 public:
  using Sink = std::function<void(LogLevel, std::string_view component, std::string_view text)>;
  using Clock = std::chrono::steady_clock;

  Logger() = default;  // silent
  // `now` can be replaced by a test's clock; it dates lines for their limits.
  Logger(LogLevel level, Sink sink, std::function<Clock::time_point()> now = Clock::now);
  // These two write a line for each message, in which nothing can steer a terminal (printable.h),
  // and never wait for who reads it (line_writer.h).
  static Logger to_stderr(LogLevel level);
  static Logger to_file(LogLevel level, const std::string& path);  // appends; throws

  bool enabled(LogLevel level) const noexcept;
  void write(LogLevel level, std::string_view component, std::string_view text,
             LogPlace place = LogPlace::current()) const;
  void debug(std::string_view component, std::string_view text,
             LogPlace place = LogPlace::current()) const {
    write(LogLevel::debug, component, text, place);
  }
  void info(std::string_view component, std::string_view text,
            LogPlace place = LogPlace::current()) const {
    write(LogLevel::info, component, text, place);
  }
  void warn(std::string_view component, std::string_view text,
            LogPlace place = LogPlace::current()) const {
    write(LogLevel::warn, component, text, place);
  }
  void error(std::string_view component, std::string_view text,
             LogPlace place = LogPlace::current()) const {
    write(LogLevel::error, component, text, place);
  }
  // A warning that a guest can provoke at will.
  void guest_noise(std::string_view component, std::string_view text) const {
    write(LogLevel::warn, component, text, LogPlace::current());
  }

  // Opens a log file by its name again, after it was moved away. What goes wrong is logged to the
  // old one, which is kept then. Nothing for other sinks.
  void reopen() const;

 private:
  struct Shared;
  static Logger over(LogLevel level, const std::shared_ptr<LineWriter>& writer);
  std::shared_ptr<Shared> shared_;
};

}  // namespace vireo
