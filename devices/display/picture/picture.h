// The server's copy of the screen. What is sent to viewers comes from it, never from the guest's
// memory, and what it finds different on reading that again is all that has changed.
//
// One thread. Keeps one picture: width * height * 4 bytes, and a hash for each row.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "devices/display/picture/scroll.h"
#include "devices/display/picture/tile_set.h"
#include "devices/display/screen.h"

namespace vireo::display {

// Between two looks at the screen.
struct Change {
  TileSet tiles;                 // those that differ; all, when the size does
  std::optional<Scroll> scroll;  // explains some of them
  bool resized = false;
};

class Picture {
 public:
  explicit Picture(Screen& screen);

  // Reads what may have changed. All of it, the first time.
  Change refresh();

  Size size() const noexcept { return size_; }
  // 0x00RRGGBB each.
  std::span<const uint32_t> row(size_t y) const noexcept {
    return std::span(pixels_).subspan(y * size_.width, size_.width);
  }

 private:
  void resize(Size size);
  void read_row(size_t y, TileSet& changed);
  uint64_t hash_of(std::span<const uint32_t> row) const noexcept;

  Screen& screen_;
  Size size_{};
  std::vector<uint32_t> pixels_;
  std::vector<uint64_t> hashes_;  // of each row
  // Guests do not know it, so they cannot make two rows that only look the same to us.
  uint64_t secret_;
};

}  // namespace vireo::display
