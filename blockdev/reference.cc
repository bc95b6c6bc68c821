#include "blockdev/reference.h"

#include <filesystem>
#include <string_view>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr std::string_view kFilePrefix = "file:";

std::string without_file_prefix(const std::string& name) {
  return name.starts_with(kFilePrefix) ? name.substr(kFilePrefix.size()) : name;
}

// Absolute, without links.
std::filesystem::path folder_of(const std::string& path) {
  return std::filesystem::weakly_canonical(std::filesystem::absolute(path).parent_path());
}

}  // namespace

References parse_references(const std::string& word) {
  if (const auto references = find_word(kReferenceWords, word)) return *references;
  throw ConfigError(fmt::format("'{}' does not say which files an image may name; write backing={}",
                                word, one_of(kReferenceWords)));
}

std::string resolve_reference(const std::string& image_path, const std::string& name) {
  const std::string file = without_file_prefix(name);
  if (names_protocol(name) || file.starts_with('/')) return file;
  return (std::filesystem::path(image_path).parent_path() / file).string();
}

bool names_protocol(const std::string& name) {
  if (name.starts_with(kFilePrefix)) return false;
  const size_t colon = name.find(':');
  return colon != std::string::npos && name.find('/') > colon;
}

bool lies_beside(const std::string& image_path, const std::string& path) {
  try {
    const std::string file = std::filesystem::path(path).filename().string();
    return !file.empty() && file != "." && file != ".." && folder_of(image_path) == folder_of(path);
  } catch (const std::filesystem::filesystem_error&) {
    return false;  // a folder that cannot be examined
  }
}

}  // namespace vireo::blk
