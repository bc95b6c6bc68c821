// What PS/2 keyboards and mice have in common (IBM PS/2 Hardware Interface Technical Reference,
// "Keyboard and Auxiliary Device Controller"): bytes of the protocol, and the order in which a
// device sends: answers to commands go ahead of what it has to tell by itself. Plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

namespace vireo::dev::ps2 {

inline constexpr uint8_t kAcknowledge = 0xfa;
inline constexpr uint8_t kAgain = 0xfe;  // a command that is not understood, or is asked for twice
inline constexpr uint8_t kSelfTestPassed = 0xaa;

struct Output {
  static constexpr size_t kMaxAnswers = 16;  // a host that sends on and reads nothing loses some

  std::vector<uint8_t> answers{};
  std::vector<uint8_t> reports{};
  uint8_t last = 0;  // sent

  static void fields(auto& s, auto& archive) {
    archive("answers", s.answers)("reports", s.reports)("last", s.last);
  }
  bool operator==(const Output&) const = default;
  bool possible(size_t max_reports) const noexcept {
    return answers.size() <= kMaxAnswers && reports.size() <= max_reports;
  }

  // All of them, or none.
  void answer(std::initializer_list<uint8_t> bytes) {
    if (answers.size() + bytes.size() <= kMaxAnswers) answers.insert(answers.end(), bytes);
  }
  // The next byte on its way to the controller.
  std::optional<uint8_t> take() {
    std::vector<uint8_t>& from = answers.empty() ? reports : answers;
    if (from.empty()) return std::nullopt;
    last = from.front();
    from.erase(from.begin());
    return last;
  }
};

}  // namespace vireo::dev::ps2
