#include "vmm/base/log.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/core.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo {

namespace {

constexpr std::array<std::string_view, 6> kLevelNames{"trace", "debug", "info",
                                                      "warn",  "error", "off"};
constexpr size_t kNoisePerSecond = 10;

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return spdlog::level::trace;
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

std::string printable(std::string_view text) {
  std::string clean(text);
  const auto steers = [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
  };
  std::replace_if(clean.begin(), clean.end(), steers, '?');
  return clean;
}

Logger over(LogLevel level, const std::shared_ptr<spdlog::sinks::sink>& sink) {
  auto backend = std::make_shared<spdlog::logger>("vireo", sink);
  backend->set_level(spdlog::level::trace);
  backend->set_pattern("%H:%M:%S.%e %l %v");
  backend->flush_on(spdlog::level::trace);
  return Logger(level, [backend](LogLevel at, std::string_view component, std::string_view text) {
    backend->log(spdlog_level(at), "{}: {}", component, printable(text));
  });
}

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
  std::mutex noise_mutex;
  // When the last kNoisePerSecond warnings passed, as a ring. Guarded by noise_mutex, as all below.
  std::array<Clock::time_point, kNoisePerSecond> noise_times{};
  size_t noise_count = 0;
  uint64_t suppressed = 0;

  // How many were suppressed before this one, or nothing when this one is to be suppressed too.
  std::optional<uint64_t> admit_noise() {
    const std::lock_guard lock(noise_mutex);
    const auto at = now();
    auto& oldest = noise_times[noise_count % kNoisePerSecond];
    if (noise_count >= kNoisePerSecond && at - oldest < std::chrono::seconds(1)) {
      ++suppressed;
      return std::nullopt;
    }
    oldest = at;
    ++noise_count;
    return std::exchange(suppressed, 0);
  }
};

Logger::Logger(LogLevel level, Sink sink, std::function<Clock::time_point()> now)
    : shared_(std::make_shared<Shared>()) {
  shared_->level = level;
  shared_->sink = std::move(sink);
  shared_->now = std::move(now);
}

Logger Logger::to_stderr(LogLevel level) {
  return over(level, std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

Logger Logger::to_file(LogLevel level, const std::string& path) {
  // Opened here first: spdlog would make missing directories, and its message is its own.
  const UniqueFd probe{::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)};
  if (!probe) throw_errno(fmt::format("cannot open the log file '{}'", path));
  return over(level, std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
}

bool Logger::enabled(LogLevel level) const noexcept {
  return shared_ && level >= shared_->level && shared_->level != LogLevel::off;
}

void Logger::write(LogLevel level, std::string_view component, std::string_view text) const {
  if (enabled(level)) shared_->sink(level, component, text);
}

void Logger::guest_noise(std::string_view component, std::string_view text) const {
  if (!enabled(LogLevel::warn)) return;
  const std::optional<uint64_t> suppressed = shared_->admit_noise();
  if (!suppressed) return;
  if (*suppressed > 0)
    warn(component,
         fmt::format("{} ({} warnings before this one were suppressed)", text, *suppressed));
  else
    warn(component, text);
}

}  // namespace vireo
