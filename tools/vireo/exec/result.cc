#include "tools/vireo/exec/result.h"

#include <array>
#include <cerrno>
#include <string_view>

#include "tools/vireo/exit_status.h"
#include "vmm/base/json.h"

namespace vireo::cli {

namespace {

using State = SandboxResult::State;

constexpr std::array<std::string_view, 10> kNames{"exited",      "signaled", "not-started", "oom",
                                                  "timeout",     "stopped",  "panic",       "lost",
                                                  "boot-failed", "failed"};

}  // namespace

int exit_status(const SandboxResult& result) {
  switch (result.state) {
    case State::exited:
      return result.number;
    case State::signaled:
    case State::oom:
    case State::stopped:
      return kSignalBase + result.number;
    case State::not_started:
      return result.number == ENOENT ? kNotFound : kCannotExecute;
    case State::timeout:
      return kTimedOut;
    case State::panic:
    case State::lost:
    case State::boot_failed:
    case State::failed:
      break;
  }
  return kSandboxFailed;
}

std::string json_of(const SandboxResult& result) {
  Json seconds = Json::object();
  for (const auto& [stage, time] : result.durations)
    seconds.add(stage, std::chrono::duration<double>(time).count());
  Json object = Json::object();
  object.add("version", 1)
      .add("state", kNames.at(static_cast<size_t>(result.state)))
      .add("status", exit_status(result));
  if (result.state == State::exited) object.add("code", result.number);
  if (result.state == State::signaled || result.state == State::oom ||
      result.state == State::stopped)
    object.add("signal", result.number);
  object.add("stage", result.stage);
  if (!result.detail.empty()) object.add("detail", result.detail);
  object.add("seconds", std::move(seconds))
      .add("peak-memory", result.peak_memory)
      .add("console", result.console);
  return object.pretty() + '\n';
}

}  // namespace vireo::cli
