#include "tools/vireo/image/blkdebug.h"

#include <array>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "tools/vireo/parse.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

using Operation = blk::FaultRule::Operation;

constexpr uint64_t kSector = 512;

struct Event {
  std::string_view name;
  Operation operation;
};
// Events of the format's own tables (l2_update, refblock_alloc, …) have no counterpart here: the
// filter sees requests, not what they are for.
constexpr std::array kEvents{
    Event{"none", Operation::any},           Event{"read_aio", Operation::read},
    Event{"write_aio", Operation::write},    Event{"pwritev", Operation::write},
    Event{"pwritev_zero", Operation::zero},  Event{"flush_to_os", Operation::flush},
    Event{"flush_to_disk", Operation::flush}};

struct Kind {
  std::string_view name;
  Operation operation;
};
constexpr std::array kKinds{Kind{"read", Operation::read}, Kind{"write", Operation::write},
                            Kind{"write-zeroes", Operation::zero},
                            Kind{"discard", Operation::discard}, Kind{"flush", Operation::flush}};

template <class Names>
Operation operation_of(const Names& names, std::string_view key, const std::string& word) {
  for (const auto& name : names)
    if (name.name == word) return name.operation;
  throw ConfigError(fmt::format("blkdebug: {} '{}' is not supported", key, word));
}

std::string trimmed(std::string text) {
  constexpr const char* kSpaces = " \t\r";
  text.erase(0, text.find_first_not_of(kSpaces));
  text.erase(text.find_last_not_of(kSpaces) + 1);
  if (text.size() > 1 && text.front() == '"' && text.back() == '"')
    return text.substr(1, text.size() - 2);
  return text;
}

}  // namespace

blk::FaultRule parse_fault(std::map<std::string, std::string> keys) {
  blk::FaultRule rule;
  const auto take = [&keys](const char* key, const char* otherwise) {
    const auto node = keys.extract(key);
    return node.empty() ? std::string(otherwise) : node.mapped();
  };
  rule.operation = operation_of(kEvents, "event", take("event", "none"));
  if (const std::string kind = take("iotype", ""); !kind.empty())
    rule.operation = operation_of(kKinds, "iotype", kind);
  rule.error = {static_cast<int>(parse_number("errno", take("errno", "5"), 1, 4095)),
                std::generic_category()};
  if (const std::string sector = take("sector", "-1"); sector != "-1") {
    rule.offset = parse_number("sector", sector, 0, ~uint64_t{0} / kSector) * kSector;
    rule.length = kSector;
  }
  if (take("once", "off") == "on") rule.hits = 1;
  (void)take("immediately", "off");  // when a request fails is not told apart
  if (keys.empty()) return rule;
  throw ConfigError(fmt::format("blkdebug: '{}' is not supported", keys.begin()->first));
}

std::vector<blk::FaultRule> parse_blkdebug_text(std::string_view text) {
  std::vector<std::map<std::string, std::string>> sections;
  std::istringstream lines{std::string(text)};
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) continue;
    if (line == "[inject-error]") {
      sections.emplace_back();
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == std::string::npos || sections.empty())
      throw ConfigError(
          fmt::format("line {}: only [inject-error] with KEY = \"VALUE\" is supported", number));
    sections.back()[trimmed(line.substr(0, equals))] = trimmed(line.substr(equals + 1));
  }
  std::vector<blk::FaultRule> rules;
  for (auto& section : sections) rules.push_back(parse_fault(std::move(section)));
  return rules;
}

std::vector<blk::FaultRule> read_blkdebug(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw ConfigError(fmt::format("the blkdebug file '{}' cannot be read", path));
  return with_context(fmt::format("the blkdebug file '{}'", path),
                      [&] { return parse_blkdebug_text(text); });
}

}  // namespace vireo::cli
