// The small language of option values: comma-separated keys. Errors: ConfigError that
// names the option and says what is expected. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/parse.h"

namespace vireo::cli {

// "path=disk.img,readonly=on": keys from `known`, each at most once, and from `repeatable`; a comma
// inside a value is written twice. A first part without "=" is the value of `bare_key`.
class KeyValues {
 public:
  KeyValues(std::string_view option, std::string_view text, std::string_view bare_key,
            std::vector<std::string_view> known, std::vector<std::string_view> repeatable = {});

  std::optional<std::string> find(std::string_view key) const;
  std::vector<std::string> all(std::string_view key) const;
  std::string get(std::string_view key, std::string_view otherwise) const;
  std::string need(std::string_view key) const;
  bool flag(std::string_view key, bool otherwise) const;  // on or off
  uint64_t number(std::string_view key, uint64_t otherwise) const;
  uint64_t size(std::string_view key, uint64_t otherwise) const;
  // One of `words`, of which the first is what holds when the key is not given.
  std::string choice(std::string_view key, std::initializer_list<std::string_view> words) const;

 private:
  [[noreturn]] void fail(const std::string& why) const;
  std::string option_;
  std::multimap<std::string, std::string, std::less<>> values_;
};

}  // namespace vireo::cli
