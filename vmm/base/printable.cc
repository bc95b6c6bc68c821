#include "vmm/base/printable.h"

#include <fmt/core.h>

namespace vireo {

namespace {

uint8_t byte(std::string_view text, size_t index) noexcept {
  return static_cast<uint8_t>(text[index]);
}

bool continues(std::string_view text, size_t length) noexcept {
  for (size_t i = 1; i < length; ++i)
    if ((byte(text, i) & 0xc0) != 0x80) return false;
  return true;
}

// Overlong forms, surrogates, and what lies beyond U+10FFFF.
bool is_forbidden(uint8_t first, uint8_t second) noexcept {
  return (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
         (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
}

bool is_shown(std::string_view sequence) noexcept {
  return !sequence.empty() && !is_control(code_point(sequence));
}

}  // namespace

size_t utf8_length(std::string_view text) noexcept {
  const uint8_t first = byte(text, 0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (text.size() < length || !continues(text, length) || is_forbidden(first, byte(text, 1)))
    return 0;
  return length;
}

char32_t code_point(std::string_view sequence) noexcept {
  if (sequence.size() == 1) return byte(sequence, 0);
  char32_t value = byte(sequence, 0) & (0x7fU >> sequence.size());
  for (size_t i = 1; i < sequence.size(); ++i) value = value << 6 | (byte(sequence, i) & 0x3fU);
  return value;
}

bool is_control(char32_t c) noexcept {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::string_view sequence = text.substr(0, utf8_length(text));
    const size_t length = sequence.empty() ? 1 : sequence.size();
    if (is_shown(sequence))
      out += sequence;
    else
      for (size_t i = 0; i < length; ++i) out += fmt::format("\\x{:02x}", byte(text, i));
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace vireo
