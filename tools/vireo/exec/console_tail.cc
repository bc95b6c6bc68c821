#include "tools/vireo/exec/console_tail.h"

#include <algorithm>

#include <fmt/format.h>

namespace vireo::cli {

namespace {

// Linux' mm/oom_kill.c.
constexpr std::string_view kOutOfMemory = "Out of memory: Killed process ";

}  // namespace

void ConsoleTail::add(std::string_view text) {
  text_ += text;
  if (text_.size() > 2 * kMost) text_.erase(0, text_.size() - kMost);
}

std::optional<std::string> ConsoleTail::panic() const {
  const size_t begin = text_.find("Kernel panic");
  if (begin == std::string::npos) return std::nullopt;
  return text_.substr(begin, std::min(text_.find_first_of("\r\n", begin), text_.size()) - begin);
}

bool ConsoleTail::killed_for_memory(uint32_t pid) const {
  return text_.find(fmt::format("{}{} ", kOutOfMemory, pid)) != std::string::npos;
}

bool ConsoleTail::killed_for_memory() const {
  return text_.find(kOutOfMemory) != std::string::npos;
}

}  // namespace vireo::cli
