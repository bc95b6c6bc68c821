#include "devices/pc/config.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <functional>
#include <map>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/json.h"
#include "vmm/base/json_reader.h"
#include "vmm/base/parse.h"

namespace vireo::pc {

namespace {

constexpr size_t kMaxText = 1 << 20;

using Members = std::map<std::string, std::string>;  // with dotted keys

std::string take(Members& members, const std::string& key) {
  auto node = members.extract(key);
  return node.empty() ? "" : std::move(node.mapped());
}

bool is_index(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c); });
}

struct Member {
  std::string key;
  uint64_t index;  // in the array that the key stands for; 0 else
  std::string value;
};

Member member_of(std::string key, std::string value) {
  const size_t dot = key.rfind('.');
  if (dot == key.npos || !is_index(std::string_view(key).substr(dot + 1)))
    return {std::move(key), 0, std::move(value)};
  const uint64_t index = parse_number(key, key.substr(dot + 1), 0, kMaxText);
  key.resize(dot);
  return {std::move(key), index, std::move(value)};
}

// The members of the object at `prefix`, which are gone afterwards; those of an array are as many
// pairs of its key, in their order.
std::vector<Pair> take_object(Members& members, const std::string& prefix) {
  std::vector<Member> taken;
  for (auto at = members.lower_bound(prefix); at != members.end() && at->first.starts_with(prefix);
       at = members.erase(at))
    taken.push_back(member_of(at->first.substr(prefix.size()), at->second));
  std::ranges::stable_sort(taken, std::ranges::less(), &Member::index);
  std::vector<Pair> pairs;
  for (Member& member : taken) pairs.emplace_back(std::move(member.key), std::move(member.value));
  return pairs;
}

// An object, or a text as on the command line.
std::vector<Pair> take_part(Members& members, const std::string& key, std::string_view bare_key) {
  if (const auto node = members.extract(key); !node.empty())
    return pairs_of(node.mapped(), bare_key);
  return take_object(members, key + ".");
}

void check_version(const std::string& name, Members& members) {
  const std::string version = take(members, "version");
  if (version.empty())
    throw ConfigError(fmt::format("{}: the key 'version' is missing: write \"version\": {}", name,
                                  kConfigVersion));
  if (version != std::to_string(kConfigVersion))
    throw ConfigError(
        fmt::format("{}: version {} is not known here, only {}", name, version, kConfigVersion));
}

void take_words(const std::string& name, Members& members, PcSpec& spec) {
  const Keys keys = keys_of(spec);
  for (const std::string& key : keys.names())
    if (const auto node = members.extract(key); !node.empty())
      keys.assign(key, node.mapped(), fmt::format("{}: {}", name, key));
}

bool take_one(const std::string& name, Members& members, PcSpec& spec, const PartKind& kind,
              const std::string& key) {
  const std::vector<Pair> pairs = take_part(members, key, kind.bare_key);
  if (!pairs.empty()) kind.add(spec, fmt::format("{}: {}", name, key), pairs);
  return !pairs.empty();
}

void take_parts(const std::string& name, Members& members, PcSpec& spec, const PartKind& kind) {
  const std::string key(kind.key.name);
  if (kind.name_key.empty()) {
    take_one(name, members, spec, kind, key);
    return;
  }
  size_t index = 0;
  while (take_one(name, members, spec, kind, fmt::format("{}.{}", key, index))) ++index;
}

std::string known_keys() {
  PcSpec spec;
  std::string known = fmt::format("version, {}", fmt::join(keys_of(spec).names(), ", "));
  for (const PartKind& kind : part_kinds()) known += fmt::format(", {}", kind.key.name);
  return known;
}

std::string read_text(const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) throw_errno(fmt::format("cannot open '{}'", path));
  std::string text(kMaxText + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(file.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno(fmt::format("cannot read '{}'", path));
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > kMaxText)
    throw ConfigError(
        fmt::format("'{}' is too long for a description: {} bytes at most", path, kMaxText));
  text.resize(size);
  return text;
}

// Whose place a part takes: that of the one with the same name.
void replace_named(PcSpec& spec, const PartKind& kind, const std::vector<Pair>& pairs) {
  for (const auto& [key, value] : pairs)
    if (key == kind.name_key && value) kind.remove(spec, *value);
}

// Several of a kind of which there is only one are one; "none" clears them.
void add_parts(PcSpec& spec, const PartKind& kind, std::string_view of,
               std::vector<std::string> texts) {
  if (kind.can_be_none && texts == std::vector<std::string>{"none"}) return kind.clear(spec);
  if (kind.name_key.empty() && !texts.empty()) texts = {fmt::format("{}", fmt::join(texts, ","))};
  std::vector<std::vector<Pair>> all;
  for (const std::string& text : texts) {
    if (text == "none" && kind.can_be_none)
      throw ConfigError(fmt::format("{}: 'none' and another {} contradict", of, kind.key.name));
    all.push_back(pairs_of(text, kind.bare_key));
  }
  for (const auto& pairs : all) replace_named(spec, kind, pairs);
  for (const auto& pairs : all) kind.add(spec, of, pairs);
}

bool is_part(std::string_view name) {
  return std::ranges::any_of(part_kinds(),
                             [&](const PartKind& kind) { return kind.key.name == name; });
}

std::vector<std::string> values_of(const std::vector<Option>& options, std::string_view name) {
  std::vector<std::string> values;
  for (const Option& option : options)
    if (option.name == name) values.push_back(option.value);
  return values;
}

}  // namespace

PcSpec parse_config(const std::string& name, std::string_view text) {
  Members members = with_context(name, [&] { return flatten_json(text); });
  check_version(name, members);
  PcSpec spec;
  take_words(name, members, spec);
  for (const PartKind& kind : part_kinds()) take_parts(name, members, spec, kind);
  if (!members.empty())
    throw ConfigError(fmt::format("{}: there is no '{}': the keys are {}", name,
                                  members.begin()->first, known_keys()));
  return spec;
}

PcSpec read_config(const std::string& path) {
  return parse_config(path, read_text(path));
}

PcSpec read_options(const std::string& config, const std::vector<Option>& options,
                    std::string_view dashes) {
  PcSpec spec;
  if (!config.empty()) spec = read_config(config);
  const Keys keys = keys_of(spec);
  for (const auto& [name, value] : options)
    if (!is_part(name)) keys.assign(name, value, fmt::format("{}{}", dashes, name));
  for (const PartKind& kind : part_kinds())
    add_parts(spec, kind, fmt::format("{}{}", dashes, kind.key.name),
              values_of(options, kind.key.name));
  return spec;
}

std::string config_text(const PcSpec& spec) {
  PcSpec copy = spec;
  PcSpec other;
  Json object = Json::object();
  object.add("version", kConfigVersion);
  Json words = keys_of(copy).json(keys_of(other));
  object.add_all(std::move(words));
  for (const PartKind& kind : part_kinds()) {
    std::vector<Json> parts = kind.json(spec);
    if (parts.empty()) continue;
    if (kind.name_key.empty()) {
      object.add(kind.key.name, std::move(parts.front()));
      continue;
    }
    Json array = Json::array();
    for (Json& part : parts) array.add(std::move(part));
    object.add(kind.key.name, std::move(array));
  }
  return object.pretty() + '\n';
}

}  // namespace vireo::pc
