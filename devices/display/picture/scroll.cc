#include "devices/display/picture/scroll.h"

#include <algorithm>
#include <unordered_map>

namespace vireo::display {

namespace {

// Fewer rows than this are as well sent again.
constexpr size_t kWorthwhile = 32;
constexpr size_t kNoRow = SIZE_MAX;

// Where each hash stands that stands in one place only: an empty row tells nothing.
std::unordered_map<uint64_t, size_t> unique_rows(std::span<const uint64_t> hashes) {
  std::unordered_map<uint64_t, size_t> rows;
  for (size_t row = 0; row < hashes.size(); ++row)
    if (const auto [at, added] = rows.try_emplace(hashes[row], row); !added) at->second = kNoRow;
  return rows;
}

// How far most of the changed rows have moved, in rows; 0: nobody can tell.
ptrdiff_t distance(std::span<const uint64_t> before, std::span<const uint64_t> after) {
  const auto rows = unique_rows(before);
  std::unordered_map<ptrdiff_t, size_t> votes;
  for (size_t row = 0; row < after.size(); ++row) {
    if (after[row] == before[row]) continue;
    const auto found = rows.find(after[row]);
    if (found == rows.end() || found->second == kNoRow) continue;
    ++votes[static_cast<ptrdiff_t>(found->second) - static_cast<ptrdiff_t>(row)];
  }
  const auto most = std::max_element(votes.begin(), votes.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  return most == votes.end() ? 0 : most->first;
}

size_t changed_rows(std::span<const uint64_t> before, std::span<const uint64_t> after) {
  size_t changed = 0;
  for (size_t row = 0; row < after.size(); ++row) changed += before[row] != after[row] ? 1 : 0;
  return changed;
}

}  // namespace

std::optional<Scroll> find_scroll(std::span<const uint64_t> before,
                                  std::span<const uint64_t> after) {
  if (changed_rows(before, after) < kWorthwhile) return std::nullopt;
  const ptrdiff_t moved = distance(before, after);
  if (moved == 0) return std::nullopt;
  const size_t first = moved < 0 ? static_cast<size_t>(-moved) : 0;
  const size_t end = moved < 0 ? after.size() : after.size() - static_cast<size_t>(moved);
  Scroll longest;
  for (size_t row = first, begin = first; row < end; ++row) {
    const size_t from = row + static_cast<size_t>(moved);
    if (after[row] != before[from]) begin = row + 1;
    if (row + 1 - begin > longest.count)
      longest = {.from = static_cast<uint16_t>(begin + static_cast<size_t>(moved)),
                 .first = static_cast<uint16_t>(begin),
                 .count = static_cast<uint16_t>(row + 1 - begin)};
  }
  const size_t useful = changed_rows(before.subspan(longest.first, longest.count),
                                     after.subspan(longest.first, longest.count));
  return useful < kWorthwhile ? std::nullopt : std::optional(longest);
}

}  // namespace vireo::display
