// Which connection gives way when there are more than may be, so that who opens many keeps nobody
// out.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace vireo::display {

// What would be lost with a connection, the least first: it has not said what it wants; it proves
// that it may; it may see the screen and does not ask for it; it sees the screen.
enum class Worth : uint8_t { silent, proves, idle, looks };

struct Place {
  std::string_view origin;  // Peer::origin
  Worth worth;
};

// The index of the one. Who looks at the screen never gives way: nothing, when all do. Of the
// others the origin with the most gives one up, the one that is worth least, and of these the
// oldest.
std::optional<size_t> who_gives_way(std::span<const Place> oldest_first);

}  // namespace vireo::display
