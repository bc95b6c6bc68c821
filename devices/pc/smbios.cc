#include "devices/pc/smbios.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::pc {

namespace {

constexpr std::array<size_t, 4> kHyphens{8, 13, 18, 23};
constexpr size_t kUuidText = 36;

[[noreturn]] void refuse_uuid() {
  throw ConfigError("a UUID is 8-4-4-4-12 hexadecimal digits");
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  refuse_uuid();
}

// What is told as it is, in a text that ends with a NUL.
const std::string& checked(const std::string& text) {
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
  if (std::ranges::any_of(text, is_control)) throw ConfigError("it has a control character");
  return text;
}

struct TypeName {
  uint8_t type;
  std::string_view number, name;
};
constexpr std::array<TypeName, 5> kTypes{{{0, "0", "the BIOS"},
                                          {1, "1", "the system"},
                                          {2, "2", "its board"},
                                          {3, "3", "its chassis"},
                                          {11, "11", "texts, such as credentials for systemd"}}};

std::string known_types() {
  std::string known;
  for (const TypeName& each : kTypes)
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", each.number, each.name);
  return known;
}

const TypeName& named(uint8_t type) {
  return *std::ranges::find(kTypes, type, &TypeName::type);
}

class TextKeys {
 public:
  explicit TextKeys(const TypeName& type) {
    keys_.word(
        {"type", type.number, type.name}, [](const std::string&) {},
        [type] { return std::string(type.number); });
  }
  TextKeys& add(std::string_view name, std::string& text) {
    keys_.word(
        {name, "TEXT", ""}, [&text](const std::string& value) { text = checked(value); },
        [&text] { return text; });
    return *this;
  }
  Keys take() { return std::move(keys_); }

 private:
  Keys keys_;
};

Keys oem_keys(std::vector<std::string>& texts) {
  static constexpr size_t kMost = 255;
  const auto add = [&texts](const std::string& text) {
    if (text.empty()) throw ConfigError("it is empty");
    if (texts.size() == kMost) throw ConfigError(fmt::format("{} are the most", kMost));
    texts.push_back(checked(text));
  };
  Keys keys = TextKeys(named(11)).take();
  keys.list({"value", "TEXT", ""}, add, [&texts] { return texts; });
  return keys;
}

}  // namespace

SmbiosInfo::Uuid parse_uuid(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_hyphen = std::ranges::find(kHyphens, i) != kHyphens.end();
    if (is_hyphen && text[i] == '-') continue;
    digits += static_cast<char>(digit(text[i]));
  }
  SmbiosInfo::Uuid uuid{};
  if (text.size() != kUuidText || digits.size() != 2 * uuid.size()) refuse_uuid();
  for (size_t i = 0; i < uuid.size(); ++i)
    uuid[i] = static_cast<uint8_t>(digits[2 * i] << 4 | digits[2 * i + 1]);
  return uuid;
}

std::string to_string(const SmbiosInfo::Uuid& uuid) {
  if (uuid == SmbiosInfo::Uuid()) return "";
  std::string text = fmt::format("{:02x}", fmt::join(uuid, ""));
  for (const size_t at : kHyphens) text.insert(at, 1, '-');
  return text;
}

Keys smbios_keys(SmbiosInfo& info, uint8_t type) {
  TextKeys keys(named(type));
  if (type == 0) {
    auto& [vendor, version, date] = info.bios;
    return keys.add("vendor", vendor).add("version", version).add("date", date).take();
  }
  if (type == 1) {
    auto& [manufacturer, product, version, serial, sku, family] = info.system;
    keys.add("manufacturer", manufacturer).add("product", product).add("version", version);
    return keys.add("serial", serial).add("sku", sku).add("family", family).take();
  }
  if (type == 2) {
    auto& [manufacturer, product, version, serial, asset, location] = info.board;
    keys.add("manufacturer", manufacturer).add("product", product).add("version", version);
    return keys.add("serial", serial).add("asset", asset).add("location", location).take();
  }
  if (type == 3) {
    auto& [manufacturer, version, serial, asset, sku] = info.chassis;
    keys.add("manufacturer", manufacturer).add("version", version).add("serial", serial);
    return keys.add("asset", asset).add("sku", sku).take();
  }
  return oem_keys(info.oem_strings);
}

uint8_t smbios_type(std::string_view of, const std::vector<Pair>& pairs) {
  const auto said =
      std::ranges::find_if(pairs, [](const Pair& pair) { return pair.first == "type"; });
  if (said == pairs.end() || !said->second)
    throw ConfigError(fmt::format("{}: 'type' is missing: {}", of, known_types()));
  for (const TypeName& each : kTypes)
    if (*said->second == each.number) return each.type;
  throw ConfigError(fmt::format("{}: type: '{}' is none of {}", of, *said->second, known_types()));
}

void clear_smbios(SmbiosInfo& info, std::string_view type) {
  if (type == "0") info.bios = {};
  if (type == "1") info.system = {};
  if (type == "2") info.board = {};
  if (type == "3") info.chassis = {};
  if (type == "11") info.oem_strings.clear();
}

std::vector<Json> smbios_json(const SmbiosInfo& info) {
  std::vector<Json> all;
  for (const TypeName& each : kTypes) {
    SmbiosInfo said = info, rest = info;
    clear_smbios(rest, each.number);
    if (said == rest) continue;
    Json object = Json::object();
    object.add("type", each.type);
    object.add_all(smbios_keys(said, each.type).json(smbios_keys(rest, each.type)));
    all.push_back(std::move(object));
  }
  return all;
}

std::string smbios_help() {
  SmbiosInfo info;
  std::string help;
  for (const TypeName& each : kTypes) help += smbios_keys(info, each.type).help();
  return help;
}

std::vector<Keys::Description> all_smbios_keys() {
  SmbiosInfo info;
  std::vector<Keys::Description> all;
  for (const TypeName& each : kTypes)
    for (Keys::Description& key : smbios_keys(info, each.type).describe())
      if (std::none_of(all.begin(), all.end(),
                       [&](const auto& known) { return known.key.name == key.key.name; }))
        all.push_back(std::move(key));
  return all;
}

}  // namespace vireo::pc
