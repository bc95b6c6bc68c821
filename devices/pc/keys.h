// The keys of a description: what each is called, which values it takes, what it does and where its
// value is kept, stated once. The command line, its help, and JSON are read from that:
//
//   Keys keys_of(Disk& disk) {
//     return Keys().text({"path", "FILE", "the image"}, disk.path)
//                  .flag({"readonly", "on", "the guest cannot write"}, disk.read_only);
//   }
//   keys_of(disk).assign("--disk", pairs_of("a.img,readonly=on", "path"));
//
// Keys refer to what they were made of, which outlives them. Any thread. Errors: ConfigError that
// begins with `of`, and names the key, its value and what is expected.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/base/json.h"

namespace vireo::pc {

struct Key {
  std::string_view name;
  std::string_view values;  // as the help calls them: "FILE", "on", "N"
  std::string_view help;    // empty: the key is told together with the one before it
};

// A key, and its value unless the key stands for itself.
using Pair = std::pair<std::string, std::optional<std::string>>;

// "path=disk.img,readonly=on"; a comma inside a value is written twice. A first part without "=",
// or with a "/" before it (a path), is the value of `bare_key`, if there is one.
std::vector<Pair> pairs_of(std::string_view text, std::string_view bare_key);

// "on" or "off", or JSON's words for them. Throws ConfigError.
bool parse_flag(std::string_view text);

class Keys {
 public:
  using Set = std::function<void(const std::string& text)>;  // throws ConfigError
  using Get = std::function<std::string()>;                  // what Set would read
  using GetAll = std::function<std::vector<std::string>()>;

  Keys& text(const Key& key, std::string& value);
  Keys& flag(const Key& key, bool& value);
  template <class T>
  Keys& number(const Key& key, T& value, uint64_t least = 0,
               uint64_t most = std::numeric_limits<T>::max()) {
    return number(
        key, least, most, [&value](uint64_t number) { value = static_cast<T>(number); },
        [&value] { return uint64_t{value}; });
  }
  template <class T>
  Keys& size(const Key& key, T& value, uint64_t least = 0,
             uint64_t most = std::numeric_limits<T>::max()) {
    return size(
        key, least, most, [&value](uint64_t bytes) { value = static_cast<T>(bytes); },
        [&value] { return uint64_t{value}; });
  }
  // One of the words; what stands for a value that is not written has an empty one.
  template <class E>
  Keys& choice(const Key& key, E& value,
               std::initializer_list<std::pair<std::string_view, E>> words) {
    return choice<E>(key, value, std::span(words.begin(), words.size()));
  }
  template <class E>
  Keys& choice(const Key& key, E& value, std::span<const std::pair<std::string_view, E>> words) {
    std::vector<std::string_view> names;
    std::vector<E> values;
    for (const auto& [name, meaning] : words) names.push_back(name), values.push_back(meaning);
    return choice(
        key, std::move(names), [&value, values](size_t index) { value = values[index]; },
        [&value, values] {
          size_t index = 0;
          while (index + 1 < values.size() && values[index] != value) ++index;
          return index;
        });
  }
  // Anything else that is one word: `set` says what is wrong with it.
  Keys& word(const Key& key, Set set, Get get);
  // May come several times: `add` is called for each.
  Keys& list(const Key& key, Set add, GetAll get);
  // Of the last key: it may come without a value, and is told in JSON whatever it is.
  Keys& alone(std::function<void()> set);

  void assign(std::string_view of, const std::vector<Pair>& pairs) const;
  // Sets one key, whose name in messages is `called`.
  void assign(std::string_view name, const std::string& value, std::string_view called) const;
  // The keys whose values are others than those of `fresh`, which are the same keys of another
  // description.
  Json json(const Keys& fresh) const;
  // A line or more for each, in two columns; ends with a newline.
  std::string help() const;
  std::vector<std::string> names() const;
  struct Description {
    Key key;
    bool is_flag;
    std::string value;               // now
    std::vector<std::string> words;  // if it takes no others
  };
  std::vector<Description> describe() const;

 private:
  enum class Kind : uint8_t { flag, number, word, list };
  struct Entry {
    Key key{};
    Kind kind = Kind::word;
    Set set{};
    GetAll get{};
    std::vector<std::string> words{};
    std::function<void()> set_alone{};
  };

  Keys& add(Entry entry);
  Keys& number(const Key& key, uint64_t least, uint64_t most, std::function<void(uint64_t)> set,
               std::function<uint64_t()> get);
  Keys& size(const Key& key, uint64_t least, uint64_t most, std::function<void(uint64_t)> set,
             std::function<uint64_t()> get);
  Keys& choice(const Key& key, std::vector<std::string_view> names, std::function<void(size_t)> set,
               std::function<size_t()> get);
  const Entry* find(std::string_view name) const;
  static void assign(const Entry& entry, const std::string& value, std::string_view before,
                     std::string_view called);
  static Json json_of(const Entry& entry);

  std::vector<Entry> entries_;
};

}  // namespace vireo::pc
