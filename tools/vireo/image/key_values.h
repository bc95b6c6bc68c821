// The options of `-o KEY=VALUE,…`, looked at by their keys. Errors: ConfigError that names the
// option and says what is expected. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vireo::cli {

class KeyValues {
 public:
  // Throws when there is a key that is not among `known`.
  KeyValues(std::string option, std::map<std::string, std::string> values,
            const std::vector<std::string_view>& known);

  std::optional<std::string> find(const std::string& key) const;
  std::string get(const std::string& key, const std::string& otherwise) const;
  bool flag(const std::string& key, bool otherwise) const;  // on or off
  uint64_t size(const std::string& key, uint64_t otherwise) const;

 private:
  const std::string option_;
  const std::map<std::string, std::string> values_;
};

}  // namespace vireo::cli
