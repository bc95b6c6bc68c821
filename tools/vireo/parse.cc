#include "tools/vireo/parse.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

std::optional<double> multiplier(std::string_view suffix) {
  if (suffix.empty()) return 1;
  if (suffix.size() != 1) return std::nullopt;
  constexpr std::string_view kSuffixes = "bkmgtpe";
  const auto lower = static_cast<char>(suffix[0] | 0x20);
  const size_t power = kSuffixes.find(lower);
  if (power == std::string_view::npos) return std::nullopt;
  return static_cast<double>(1ULL << 10 * power);
}

std::optional<uint64_t> decimal(std::string_view text) {
  uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

// "0x200", which takes no suffix.
std::optional<uint64_t> hexadecimal(std::string_view text) {
  if (!text.starts_with("0x") && !text.starts_with("0X")) return std::nullopt;
  uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + 2, last, value, 16);
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

uint64_t parse_size(std::string_view option, std::string_view text) {
  constexpr double kLimit = 9.223372036854775e18;  // below 2^63, so that it fits a file offset, too
  if (const auto hex = hexadecimal(text); hex && static_cast<double>(*hex) < kLimit) return *hex;
  // strtod, not from_chars, for which libstdc++ would load the maths library at every start.
  const std::string digits(text.substr(0, text.find_first_not_of("0123456789.")));
  char* end = nullptr;
  const double number = std::strtod(digits.c_str(), &end);
  const auto factor = multiplier(text.substr(digits.size()));
  const double bytes = number * factor.value_or(0);
  if (digits.empty() || *end != '\0' || !factor || bytes > kLimit)
    throw ConfigError(
        fmt::format("{}: '{}' is not a size: write bytes, or a number with k, M, G, T, P or E, "
                    "such as 512M or 4G",
                    option, text));
  const auto whole = static_cast<uint64_t>(bytes);
  if (static_cast<double>(whole) != bytes)
    throw ConfigError(fmt::format("{}: '{}' is not a whole number of bytes", option, text));
  return whole;
}

std::pair<uint32_t, uint32_t> parse_owner(std::string_view option, std::string_view text) {
  constexpr uint32_t kNobody = ~uint32_t{0};  // what chown() takes for "as it is"
  uint32_t uid = kNobody, gid = kNobody;
  const char* const end = text.data() + text.size();
  const auto user = std::from_chars(text.data(), end, uid);
  const bool colon = user.ec == std::errc() && user.ptr != end && *user.ptr == ':';
  const auto group = std::from_chars(colon ? user.ptr + 1 : end, end, gid);
  if (!colon || group.ec != std::errc() || group.ptr != end || uid == kNobody || gid == kNobody)
    throw ConfigError(
        fmt::format("{}: '{}' is not UID:GID: write two numbers, such as 1000:1000", option, text));
  return {uid, gid};
}

uint64_t parse_number(std::string_view option, std::string_view text, uint64_t least,
                      uint64_t most) {
  const auto number = decimal(text);
  if (!number || *number < least || *number > most)
    throw ConfigError(
        fmt::format("{}: '{}' is not a number from {} to {}", option, text, least, most));
  return *number;
}

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
