#include "devices/display/picture/picture.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "vmm/base/error.h"

namespace vireo::display {

namespace {

constexpr uint32_t kColour = 0x00ffffff;
// Odd, with well-mixed bits: 2^64 divided by the golden ratio.
constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;

uint64_t random_secret() {
  uint64_t secret = 0;
  if (::getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
    throw_errno("cannot get random bytes");
  return secret;
}

uint64_t mixed(uint64_t hash, uint64_t value) noexcept {
  return std::rotl(hash ^ value, 29) * kMultiplier;
}

// Takes the pixels over; true when one of them differs. Each is read once, since the guest may
// write them meanwhile.
bool take(std::span<const std::byte> from, std::span<uint32_t> into) noexcept {
  uint32_t difference = 0;
  for (size_t i = 0; i < into.size(); ++i) {
    uint32_t pixel;
    std::memcpy(&pixel, from.data() + i * sizeof(pixel), sizeof(pixel));
    pixel &= kColour;
    difference |= pixel ^ into[i];
    into[i] = pixel;
  }
  return difference != 0;
}

}  // namespace

Picture::Picture(Screen& screen) : screen_(screen), secret_(random_secret()) {}

void Picture::resize(Size size) {
  size_ = size;
  pixels_.assign(size_t{size.width} * size.height, 0);
  hashes_.assign(size.height, 0);
}

// Four hashes beside each other, so that one multiplication need not wait for the last.
uint64_t Picture::hash_of(std::span<const uint32_t> row) const noexcept {
  uint64_t lanes[4] = {secret_, secret_ + 1, secret_ + 2, secret_ + 3};
  const size_t whole = row.size() / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) {
    uint64_t values[4];
    std::memcpy(values, row.data() + i, sizeof(values));
    for (size_t lane = 0; lane < 4; ++lane) lanes[lane] = mixed(lanes[lane], values[lane]);
  }
  for (size_t i = whole; i < row.size(); ++i) lanes[0] = mixed(lanes[0], row[i]);
  return mixed(mixed(mixed(mixed(secret_, lanes[0]), lanes[1]), lanes[2]), lanes[3]);
}

void Picture::read_row(size_t y, TileSet& changed) {
  const std::span<const std::byte> from = screen_.row(static_cast<uint16_t>(y));
  const std::span<uint32_t> into = std::span(pixels_).subspan(y * size_.width, size_.width);
  bool any = false;
  for (size_t x = 0, column = 0; x < size_.width; x += kTileWidth, ++column) {
    const size_t count = std::min<size_t>(kTileWidth, size_.width - x);
    if (!take(from.subspan(x * sizeof(uint32_t)), into.subspan(x, count))) continue;
    changed.add_tile(column, y / kTileHeight);
    any = true;
  }
  if (any || hashes_[y] == 0) hashes_[y] = hash_of(into);
}

Change Picture::refresh() {
  const std::vector<Rows> rows = screen_.take_changes();
  const Size size = screen_.size();
  if (size != size_) {
    resize(size);
    Change change{.tiles = TileSet(size), .scroll = {}, .resized = true};
    for (size_t y = 0; y < size.height; ++y) read_row(y, change.tiles);
    change.tiles.add({.x = 0, .y = 0, .width = size.width, .height = size.height});
    return change;
  }
  Change change{.tiles = TileSet(size), .scroll = {}, .resized = false};
  if (rows.empty()) return change;
  const std::vector<uint64_t> before = hashes_;
  for (const Rows& run : rows) {
    const size_t end = std::min<size_t>(size_t{run.first} + run.count, size.height);
    for (size_t y = run.first; y < end; ++y) read_row(y, change.tiles);
  }
  change.scroll = find_scroll(before, hashes_);
  return change;
}

}  // namespace vireo::display
