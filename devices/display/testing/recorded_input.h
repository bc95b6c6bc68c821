// What a guest would have seen of keys and pointer, in words: "+30 -30 @10,20/1".
#pragma once

#include <string>
#include <utility>

#include <fmt/core.h>

#include "devices/display/screen.h"

namespace vireo::display {

class RecordedInput final : public Input {
 public:
  void key(uint16_t code, bool pressed) override {
    note(fmt::format("{}{}", pressed ? '+' : '-', code));
  }
  void pointer(uint16_t x, uint16_t y, uint8_t buttons) override {
    note(fmt::format("@{},{}/{}", x, y, buttons));
  }
  std::string take() { return std::exchange(seen, {}); }

  std::string seen;

 private:
  void note(const std::string& word) { seen += (seen.empty() ? "" : " ") + word; }
};

}  // namespace vireo::display
