#include "tools/vireo/parse.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

std::optional<uint64_t> decimal(std::string_view text) {
  uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

// Splits at single commas; a doubled one stands for itself.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ',') {
      parts.back() += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      parts.back() += ',';
      ++i;
    } else {
      parts.emplace_back();
    }
  }
  return parts;
}

struct Part {
  std::string key;
  std::optional<std::string> value;
};

// A part without "=", or with a "/" before it (a path), is the value of `bare_key` if there is one.
Part key_and_value(const std::string& part, std::string_view bare_key) {
  const size_t equals = part.find('=');
  const bool bare = equals == std::string::npos || part.find('/') < equals;
  if (bare && !bare_key.empty()) return {std::string(bare_key), part};
  if (equals == std::string::npos) return {part, std::nullopt};
  return {part.substr(0, equals), part.substr(equals + 1)};
}

// The empty word stands for what is not written.
std::vector<std::string_view> without_empty(std::initializer_list<std::string_view> words) {
  std::vector<std::string_view> kept;
  std::copy_if(words.begin(), words.end(), std::back_inserter(kept),
               [](std::string_view word) { return !word.empty(); });
  return kept;
}

}  // namespace

KeyValues::KeyValues(std::string_view option, std::string_view text, std::string_view bare_key,
                     std::vector<std::string_view> known, std::vector<std::string_view> repeatable)
    : option_(option) {
  const auto contains = [](const auto& keys, std::string_view key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  for (bool first = true; const std::string& part : split(text)) {
    const auto [key, value] = key_and_value(part, first ? bare_key : "");
    first = false;
    const bool repeats = contains(repeatable, key);
    if (!repeats && key != bare_key && !contains(known, key)) {
      known.insert(known.end(), repeatable.begin(), repeatable.end());
      fail(fmt::format("there is no '{}': the keys are {}", key, fmt::join(known, ", ")));
    }
    if (!value) fail(fmt::format("'{}' lacks a value: write {}=…", key, key));
    if (!repeats && values_.contains(key)) fail(fmt::format("'{}' is given twice", key));
    values_.emplace(key, *value);
  }
}

void KeyValues::fail(const std::string& why) const {
  throw ConfigError(fmt::format("{}: {}", option_, why));
}

std::optional<std::string> KeyValues::find(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> KeyValues::all(std::string_view key) const {
  std::vector<std::string> all;
  const auto [begin, end] = values_.equal_range(key);
  for (auto each = begin; each != end; ++each) all.push_back(each->second);
  return all;
}

std::string KeyValues::get(std::string_view key, std::string_view otherwise) const {
  return find(key).value_or(std::string(otherwise));
}

std::string KeyValues::need(std::string_view key) const {
  auto value = find(key);
  if (!value || value->empty()) fail(fmt::format("'{}' is missing", key));
  return *value;
}

bool KeyValues::flag(std::string_view key, bool otherwise) const {
  const auto value = find(key);
  if (!value) return otherwise;
  if (*value != "on" && *value != "off") fail(fmt::format("{}={}: it is on or off", key, *value));
  return *value == "on";
}

uint64_t KeyValues::number(std::string_view key, uint64_t otherwise) const {
  const auto value = find(key);
  if (!value) return otherwise;
  const auto number = decimal(*value);
  if (!number) fail(fmt::format("{}={}: it is a number", key, *value));
  return *number;
}

uint64_t KeyValues::size(std::string_view key, uint64_t otherwise) const {
  const auto value = find(key);
  return value ? parse_size(fmt::format("{}: {}", option_, key), *value) : otherwise;
}

std::string KeyValues::choice(std::string_view key,
                              std::initializer_list<std::string_view> words) const {
  std::string value = get(key, *words.begin());
  if (std::find(words.begin(), words.end(), value) == words.end())
    fail(fmt::format("{}={}: it is one of {}", key, value, fmt::join(without_empty(words), ", ")));
  return value;
}

}  // namespace vireo::cli
