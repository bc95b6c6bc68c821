#include "devices/pc/keys.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::pc {

namespace {

constexpr size_t kColumn = 21, kWidth = 100;  // of the help: where the words begin, and end

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

Pair pair_of(const std::string& part, std::string_view bare_key) {
  const size_t equals = part.find('=');
  const bool bare = equals == std::string::npos || part.find('/') < equals;
  if (bare && !bare_key.empty()) return {std::string(bare_key), part};
  if (equals == std::string::npos) return {part, std::nullopt};
  return {part.substr(0, equals), part.substr(equals + 1)};
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t length = std::min(text.find(' '), text.size());
    if (length != 0) words.push_back(text.substr(0, length));
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return words;
}

// In characters: the words have some beyond ASCII.
size_t width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

// Appends words to a text, in lines between `column` and kWidth.
void wrap(std::string& out, size_t at, size_t column, std::string_view text) {
  for (const std::string_view word : words_of(text)) {
    if (at > column && at + 1 + width(word) > kWidth) {
      out += '\n' + std::string(column, ' ');
      at = column;
    } else if (at > column) {
      out += ' ';
      ++at;
    }
    out += word;
    at += width(word);
  }
  out += '\n';
}

std::string help_line(const std::string& heading, const std::string& words) {
  std::string out = "  ";
  constexpr size_t kIndent = 2;
  if (width(heading) + kIndent + 1 <= kColumn) {
    out += heading + std::string(kColumn - kIndent - width(heading), ' ');
  } else {
    wrap(out, kIndent, kIndent, heading);
    out += std::string(kColumn, ' ');
  }
  wrap(out, kColumn, kColumn, words);
  return out;
}

}  // namespace

std::vector<Pair> pairs_of(std::string_view text, std::string_view bare_key) {
  std::vector<Pair> pairs;
  for (const std::string& part : split(text))
    pairs.push_back(pair_of(part, pairs.empty() ? bare_key : ""));
  return pairs;
}

Keys& Keys::add(Entry entry) {
  entries_.push_back(std::move(entry));
  return *this;
}

Keys& Keys::text(const Key& key, std::string& value) {
  return word(
      key, [&value](const std::string& text) { value = text; }, [&value] { return value; });
}

bool parse_flag(std::string_view text) {
  const bool on = text == "on" || text == "true";
  if (!on && text != "off" && text != "false") throw ConfigError("it is on or off");
  return on;
}

Keys& Keys::flag(const Key& key, bool& value) {
  const auto set = [&value](const std::string& text) { value = parse_flag(text); };
  const auto get = [&value] { return std::vector<std::string>{value ? "on" : "off"}; };
  return add({.key = key, .kind = Kind::flag, .set = set, .get = get, .words = {"on", "off"}});
}

Keys& Keys::number(const Key& key, uint64_t least, uint64_t most, std::function<void(uint64_t)> set,
                   std::function<uint64_t()> get) {
  return add({.key = key,
              .kind = Kind::number,
              .set = [=](const std::string& text) { set(parse_number("", text, least, most)); },
              .get = [=] { return std::vector<std::string>{std::to_string(get())}; }});
}

Keys& Keys::size(const Key& key, uint64_t least, uint64_t most, std::function<void(uint64_t)> set,
                 std::function<uint64_t()> get) {
  const auto read = [=](const std::string& text) {
    const uint64_t bytes = parse_size("", text);
    if (bytes < least || bytes > most)
      throw ConfigError(fmt::format("it is {} to {} bytes", least, most));
    set(bytes);
  };
  return word(key, read, [=] { return size_text(get()); });
}

Keys& Keys::choice(const Key& key, std::vector<std::string_view> names,
                   std::function<void(size_t)> set, std::function<size_t()> get) {
  std::vector<std::string> words(names.begin(), names.end());
  std::erase(words, "");
  const auto read = [names, words, set](const std::string& text) {
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end())
      throw ConfigError(fmt::format("it is one of {}", fmt::join(words, ", ")));
    set(static_cast<size_t>(found - names.begin()));
  };
  word(key, read, [names, get] { return std::string(names[get()]); });
  entries_.back().words = std::move(words);
  return *this;
}

Keys& Keys::word(const Key& key, Set set, Get get) {
  const auto get_all = [get = std::move(get)] { return std::vector<std::string>{get()}; };
  return add({.key = key, .kind = Kind::word, .set = std::move(set), .get = get_all});
}

Keys& Keys::list(const Key& key, Set add_one, GetAll get) {
  return add({.key = key, .kind = Kind::list, .set = std::move(add_one), .get = std::move(get)});
}

Keys& Keys::alone(std::function<void()> set) {
  entries_.back().set_alone = std::move(set);
  return *this;
}

const Keys::Entry* Keys::find(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.key.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

std::vector<std::string> Keys::names() const {
  std::vector<std::string> names;
  for (const Entry& entry : entries_) names.emplace_back(entry.key.name);
  return names;
}

void Keys::assign(std::string_view of, const std::vector<Pair>& pairs) const {
  std::set<std::string_view> given;
  for (const Pair& pair : pairs) {
    const Entry* const entry = find(pair.first);
    if (entry == nullptr)
      throw ConfigError(fmt::format("{}: there is no '{}': the keys are {}", of, pair.first,
                                    fmt::join(names(), ", ")));
    if (entry->kind != Kind::list && !given.insert(entry->key.name).second)
      throw ConfigError(fmt::format("{}: '{}' is given twice", of, pair.first));
    if (pair.second)
      assign(*entry, *pair.second, fmt::format("{}: ", of), pair.first);
    else if (entry->set_alone)
      entry->set_alone();
    else
      throw ConfigError(
          fmt::format("{}: '{}' lacks a value: write {}=…", of, pair.first, pair.first));
  }
}

void Keys::assign(std::string_view name, const std::string& value, std::string_view called) const {
  const Entry* const entry = find(name);
  VMM_CHECK(entry != nullptr, "a key is one of these");
  assign(*entry, value, "", called);
}

// Some complaints name the value or the key themselves.
void Keys::assign(const Entry& entry, const std::string& value, std::string_view before,
                  std::string_view called) {
  try {
    entry.set(value);
  } catch (const ConfigError& error) {
    std::string_view why = error.what();
    if (why.starts_with(": ")) why.remove_prefix(2);
    if (why.starts_with(fmt::format("{}=", entry.key.name)))
      throw ConfigError(fmt::format("{}{}", before, why));
    const std::string shown = why.starts_with(fmt::format("'{}'", value)) ? "" : "=" + value;
    throw ConfigError(fmt::format("{}{}{}: {}", before, called, shown, why));
  }
}

std::vector<Keys::Description> Keys::describe() const {
  std::vector<Description> all;
  for (const Entry& entry : entries_)
    all.push_back({entry.key, entry.kind == Kind::flag,
                   fmt::format("{}", fmt::join(entry.get(), ",")), entry.words});
  return all;
}

Json Keys::json_of(const Entry& entry) {
  const std::vector<std::string> values = entry.get();
  if (entry.kind == Kind::flag) return Json(values.front() == "on");
  if (entry.kind == Kind::number) return Json(parse_number("", values.front(), 0, ~uint64_t{0}));
  if (entry.kind == Kind::word) return Json(values.front());
  Json array = Json::array();
  for (const std::string& value : values) array.add(value);
  return array;
}

Json Keys::json(const Keys& fresh) const {
  Json object = Json::object();
  for (const Entry& entry : entries_) {
    const Entry* const other = fresh.find(entry.key.name);
    if (entry.set_alone || other == nullptr || entry.get() != other->get())
      object.add(entry.key.name, json_of(entry));
  }
  return object;
}

std::string Keys::help() const {
  std::string out;
  for (size_t i = 0; i < entries_.size();) {
    const Entry& first = entries_[i];
    std::string heading;
    do {
      const Key& key = entries_[i].key;
      heading += heading.empty() ? "" : ", ";
      heading += key.name;
      if (!key.values.empty()) heading += fmt::format("={}", key.values);
    } while (++i < entries_.size() && entries_[i].key.help.empty());
    out += help_line(heading, std::string(first.key.help));
  }
  return out;
}

}  // namespace vireo::pc
