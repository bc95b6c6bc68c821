// Finds out that a screen has scrolled, from hashes of its rows before and after: a text console
// that moves up by a line needs to be told where the rest went, not sent again. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace vireo::display {

// Rows [first, first + count) are now what [from, from + count) were before.
struct Scroll {
  uint16_t from = 0, first = 0, count = 0;
  bool operator==(const Scroll&) const = default;
};

// The longest run of rows that moved together, if enough of them differ from what stood in their
// place. Both spans have the same length, at most 8192.
std::optional<Scroll> find_scroll(std::span<const uint64_t> before,
                                  std::span<const uint64_t> after);

}  // namespace vireo::display
