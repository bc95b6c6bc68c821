// The options of a format's images, each stated once: what it is called, what it takes and does.
// -o of new images and of existing ones (amend), its help, and what is told of a new image are read
// from that. A format has a table of them, with what each does to a value of the format's own.
//
// Plain values; any thread. Errors: ConfigError "KEY=TEXT: what is expected".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "blockdev/preallocation.h"

namespace vireo::blk {

// Options as they are written, by their keys.
using KeyTexts = std::map<std::string, std::string>;

struct ImageKey {
  enum class Kind : uint8_t { text, flag, size };

  std::string_view name;
  std::string_view values;  // as the help calls them: "SIZE", "zlib|zstd"
  std::string_view help;
  Kind kind = Kind::text;
  std::string_view fallback{};  // what holds without the option; empty: nothing to tell
  bool planned = false;         // the fallback is told of each new image
  std::string_view change{};    // what it does to an existing image; empty: only new ones have it
};
using ImageKeys = std::vector<ImageKey>;

// Of every format: they are about the file of an image.
inline constexpr ImageKey kNoCopyOnWriteKey{
    .name = "nocow",
    .values = "on|off",
    .help = "no copy on write by the host's file system (btrfs)",
    .kind = ImageKey::Kind::flag};
inline constexpr ImageKey kExtentSizeKey{
    .name = "extent_size_hint",
    .values = "SIZE",
    .help = "what the host's file system sets aside at a time (a hint)",
    .kind = ImageKey::Kind::size};

const ImageKey* find_key(const ImageKeys& keys, std::string_view name) noexcept;

// A line or more for each key, by their names; ends with a newline.
std::string create_help(const ImageKeys& keys);
std::string change_help(const ImageKeys& keys);  // of those that can be changed

// The text that is given for a key, as what it says.
struct KeyText {
  const ImageKey& key;
  const std::string& text;

  bool flag() const;
  uint64_t size() const;
  Preallocation preallocation() const;
  [[noreturn]] void refuse() const;  // by the values of the key
  template <class Words>
  auto word(const Words& words) const {
    const auto meaning = find_word(words, text);
    if (!meaning) refuse();
    return *meaning;
  }
};

// Options as they are without any, changed by `set` of each row of a format's table whose key is
// given.
template <class Table, class Options, class Row>
Options options_of(const Table& table, const KeyTexts& given,
                   void (*Row::*set)(Options&, const KeyText&)) {
  Options options;
  for (const Row& row : table) {
    const auto found = given.find(std::string(row.key.name));
    if (found != given.end() && row.*set != nullptr)
      (row.*set)(options, KeyText{row.key, found->second});
  }
  return options;
}
template <class Table>
ImageKeys keys_of(const Table& table) {
  ImageKeys keys;
  for (const auto& row : table) keys.push_back(row.key);
  return keys;
}

}  // namespace vireo::blk
