// What takes how long, one after the other. One thread at a time.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace vireo::cli {

class Stages {
 public:
  using Clock = std::chrono::steady_clock;
  using Durations = std::vector<std::pair<std::string, std::chrono::nanoseconds>>;

  explicit Stages(std::string first) : stage_(std::move(first)) {}

  void begin(std::string next) {
    const Clock::time_point now = Clock::now();
    durations_.emplace_back(std::exchange(stage_, std::move(next)),
                            now - std::exchange(since_, now));
  }
  const std::string& stage() const noexcept { return stage_; }
  // With the one that is under way.
  Durations durations() const {
    Durations all = durations_;
    all.emplace_back(stage_, Clock::now() - since_);
    return all;
  }

 private:
  Clock::time_point since_ = Clock::now();
  std::string stage_;
  Durations durations_;
};

}  // namespace vireo::cli
