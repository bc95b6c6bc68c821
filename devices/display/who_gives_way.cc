#include "devices/display/who_gives_way.h"

#include <map>

namespace vireo::display {

std::optional<size_t> who_gives_way(std::span<const Place> oldest_first) {
  std::map<std::string_view, size_t> counts;
  for (const Place& place : oldest_first)
    if (place.worth != Worth::looks) ++counts[place.origin];
  const auto before = [&](const Place& a, const Place& b) {
    const size_t count_a = counts.at(a.origin), count_b = counts.at(b.origin);
    return count_a != count_b ? count_a > count_b : a.worth < b.worth;
  };
  std::optional<size_t> first;
  for (size_t i = 0; i < oldest_first.size(); ++i) {
    const Place& place = oldest_first[i];
    if (place.worth == Worth::looks) continue;
    if (!first || before(place, oldest_first[*first])) first = i;
  }
  return first;
}

}  // namespace vireo::display
