// Logging without process-wide state: a Logger is a small handle (sink + component name) that is
// passed to whoever logs; copies share the sink. Any thread. Sinks must be thread-safe.
//
//   log.info("vda", fmt::format("{} requests", n));       set-up and the life of the machine
//   log.guest_noise("blk", "request beyond the disk");     what a guest causes: rate-limited
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace vireo {

enum class LogLevel : uint8_t { trace, debug, info, warn, error, off };

// "trace".."off"; throws ConfigError that lists the levels.
LogLevel parse_log_level(std::string_view name);

class Logger {
 public:
  using Sink = std::function<void(LogLevel, std::string_view component, std::string_view text)>;
  using Clock = std::chrono::steady_clock;

  Logger() = default;  // silent
  // `now` can be replaced by a test's clock; it dates the guest's noise.
  Logger(LogLevel level, Sink sink, std::function<Clock::time_point()> now = Clock::now);
  // These two replace control characters (but newline and tab) by '?': a log is often read in a
  // terminal, and what a guest or an image says must not steer that.
  static Logger to_stderr(LogLevel level);
  static Logger to_file(LogLevel level, const std::string& path);  // appends; throws

  bool enabled(LogLevel level) const noexcept;
  void write(LogLevel level, std::string_view component, std::string_view text) const;
  void debug(std::string_view component, std::string_view text) const {
    write(LogLevel::debug, component, text);
  }
  void info(std::string_view component, std::string_view text) const {
    write(LogLevel::info, component, text);
  }
  void warn(std::string_view component, std::string_view text) const {
    write(LogLevel::warn, component, text);
  }
  void error(std::string_view component, std::string_view text) const {
    write(LogLevel::error, component, text);
  }
  // A warning that a guest can provoke at will: at most 10 in any second per sink; the number of
  // the suppressed ones is told with the next that passes.
  void guest_noise(std::string_view component, std::string_view text) const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace vireo
