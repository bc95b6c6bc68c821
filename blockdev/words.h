// The words of an option and what they mean, stated once for whoever reads them.
//
// Pure; any thread.
#pragma once

#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vireo::blk {

template <class E>
using Word = std::pair<std::string_view, E>;

template <std::ranges::range Words>
auto find_word(const Words& words, std::string_view text) {
  std::optional<typename std::ranges::range_value_t<Words>::second_type> found;
  for (const auto& [word, meaning] : words)
    if (word == text) found = meaning;
  return found;
}

// "writeback, none or unsafe".
template <std::ranges::sized_range Words>
std::string one_of(const Words& words) {
  std::string text;
  for (size_t left = words.size(); const auto& [word, meaning] : words) {
    if (!text.empty()) text += left > 1 ? ", " : " or ";
    text += word;
    --left;
  }
  return text;
}

}  // namespace vireo::blk
