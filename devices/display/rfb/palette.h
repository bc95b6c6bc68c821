// The colours of some pixels, in the order in which they were seen, up to 256.
//
// A value; one thread. An open hash table that costs nothing to empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vireo::display {

class Palette {
 public:
  static constexpr size_t kMost = 256;
  static constexpr size_t kFull = kMost;

  void clear() noexcept {
    for (size_t i = 0; i < size_; ++i) slots_[places_[i]] = 0;
    size_ = 0;
  }
  size_t size() const noexcept { return size_; }
  std::span<const uint32_t> colours() const noexcept { return std::span(colours_).first(size_); }

  // The index of the colour, new or not; kFull when it is one too many.
  size_t add(uint32_t colour) noexcept {
    size_t place = place_of(colour);
    while (slots_[place] != 0) {
      if (const size_t index = slots_[place] - size_t{1}; colours_[index] == colour) return index;
      place = (place + 1) % kSlots;
    }
    if (size_ == kMost) return kFull;
    colours_[size_] = colour;
    places_[size_] = static_cast<uint16_t>(place);
    slots_[place] = static_cast<uint16_t>(size_ + 1);
    return size_++;
  }

 private:
  static constexpr size_t kSlots = 1024;  // four for each colour: short chains
  static size_t place_of(uint32_t colour) noexcept {
    return static_cast<uint32_t>(colour * 2654435761U) >> 22;
  }

  std::array<uint16_t, kSlots> slots_{};  // index + 1; 0: free
  std::array<uint32_t, kMost> colours_{};
  std::array<uint16_t, kMost> places_{};
  size_t size_ = 0;
};

}  // namespace vireo::display
