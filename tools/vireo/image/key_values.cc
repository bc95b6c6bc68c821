#include "tools/vireo/image/key_values.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

KeyValues::KeyValues(std::string option, std::map<std::string, std::string> values,
                     const std::vector<std::string_view>& known)
    : option_(std::move(option)), values_(std::move(values)) {
  for (const auto& [key, value] : values_)
    if (std::ranges::find(known, key) == known.end())
      throw ConfigError(fmt::format("{}: there is no '{}': the keys are {}", option_, key,
                                    fmt::join(known, ", ")));
}

std::optional<std::string> KeyValues::find(const std::string& key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

std::string KeyValues::get(const std::string& key, const std::string& otherwise) const {
  return find(key).value_or(otherwise);
}

bool KeyValues::flag(const std::string& key, bool otherwise) const {
  const auto value = find(key);
  if (!value) return otherwise;
  if (*value != "on" && *value != "off")
    throw ConfigError(fmt::format("{}: {}={}: it is on or off", option_, key, *value));
  return *value == "on";
}

uint64_t KeyValues::size(const std::string& key, uint64_t otherwise) const {
  const auto value = find(key);
  return value ? parse_size(fmt::format("{}: {}", option_, key), *value) : otherwise;
}

}  // namespace vireo::cli
