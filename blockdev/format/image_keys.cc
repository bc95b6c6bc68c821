#include "blockdev/format/image_keys.h"

#include <algorithm>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::blk {

namespace {

std::string help_line(const ImageKey& key, std::string_view words) {
  constexpr size_t kColumn = 24;
  const std::string heading = fmt::format("{}={}", key.name, key.values);
  if (heading.size() < kColumn) return fmt::format("  {:<{}}{}\n", heading, kColumn, words);
  return fmt::format("  {}\n  {:<{}}{}\n", heading, "", kColumn, words);
}

ImageKeys by_name(ImageKeys keys) {
  std::ranges::sort(keys, {}, &ImageKey::name);
  return keys;
}

std::string replaced(std::string_view text, char from, std::string_view to) {
  std::string result;
  for (const char c : text) result += c == from ? std::string(to) : std::string(1, c);
  return result;
}

}  // namespace

const ImageKey* find_key(const ImageKeys& keys, std::string_view name) noexcept {
  const auto found = std::ranges::find(keys, name, &ImageKey::name);
  return found == keys.end() ? nullptr : &*found;
}

std::string create_help(const ImageKeys& keys) {
  std::string help;
  for (const ImageKey& key : by_name(keys)) {
    const bool told = !key.fallback.empty() && key.kind != ImageKey::Kind::flag;
    help += help_line(
        key, told ? fmt::format("{} ({})", key.help, key.fallback) : std::string(key.help));
  }
  return help;
}

std::string change_help(const ImageKeys& keys) {
  std::string help;
  for (const ImageKey& key : by_name(keys))
    if (!key.change.empty()) help += help_line(key, key.change);
  return help;
}

void KeyText::refuse() const {
  throw ConfigError(
      fmt::format("{}={}: it is {}", key.name, text, replaced(key.values, '|', " or ")));
}

bool KeyText::flag() const {
  if (text != "on" && text != "off")
    throw ConfigError(fmt::format("{}={}: it is on or off", key.name, text));
  return text == "on";
}

uint64_t KeyText::size() const {
  return parse_size(key.name, text);
}

Preallocation KeyText::preallocation() const {
  return parse_preallocation(std::string(key.name), text);
}

}  // namespace vireo::blk
