#include "tools/vireo/image/blkdebug.h"

#include <array>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

using blk::DebugEvent;
using Operation = blk::FaultRule::Operation;

constexpr uint64_t kSector = 512;
constexpr uint64_t kMostState = 0x7fffffff;

struct Event {
  std::string_view name;
  DebugEvent event;
};
constexpr std::array kEvents{Event{"none", DebugEvent::none},
                             Event{"read_aio", DebugEvent::read_aio},
                             Event{"write_aio", DebugEvent::write_aio},
                             Event{"read_backing_aio", DebugEvent::read_backing_aio},
                             Event{"read_compressed", DebugEvent::read_compressed},
                             Event{"cow_read", DebugEvent::cow_read},
                             Event{"l1_update", DebugEvent::l1_update},
                             Event{"l2_load", DebugEvent::l2_load},
                             Event{"l2_update", DebugEvent::l2_update},
                             Event{"refblock_load", DebugEvent::refblock_load},
                             Event{"refblock_update", DebugEvent::refblock_update},
                             Event{"pwritev_rmw_head", DebugEvent::pwritev_rmw_head},
                             Event{"pwritev_rmw_after_head", DebugEvent::pwritev_rmw_after_head},
                             Event{"pwritev_rmw_tail", DebugEvent::pwritev_rmw_tail},
                             Event{"pwritev_rmw_after_tail", DebugEvent::pwritev_rmw_after_tail},
                             Event{"pwritev", DebugEvent::pwritev},
                             Event{"pwritev_zero", DebugEvent::pwritev_zero},
                             Event{"pwritev_done", DebugEvent::pwritev_done},
                             Event{"flush_to_os", DebugEvent::flush_to_os},
                             Event{"flush_to_disk", DebugEvent::flush_to_disk}};

struct Kind {
  std::string_view name;
  Operation operation;
};
constexpr std::array kKinds{Kind{"read", Operation::read}, Kind{"write", Operation::write},
                            Kind{"write-zeroes", Operation::zero},
                            Kind{"discard", Operation::discard}, Kind{"flush", Operation::flush}};

Operation parse_kind(const std::string& word) {
  for (const Kind& kind : kKinds)
    if (kind.name == word) return kind.operation;
  throw ConfigError(fmt::format("blkdebug: iotype '{}' is not supported", word));
}

using Keys = std::map<std::string, std::string>;

std::string take(Keys& keys, const char* key, const char* otherwise) {
  const auto node = keys.extract(key);
  return node.empty() ? std::string(otherwise) : node.mapped();
}

void check_all_taken(const Keys& keys) {
  if (!keys.empty())
    throw ConfigError(fmt::format("blkdebug: '{}' is not supported", keys.begin()->first));
}

uint32_t take_state(Keys& keys, const char* key) {
  return static_cast<uint32_t>(parse_number(key, take(keys, key, "0"), 0, kMostState));
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

blk::DebugEvent parse_debug_event(const std::string& name) {
  for (const Event& event : kEvents)
    if (event.name == name) return event.event;
  throw ConfigError(fmt::format("blkdebug: event '{}' is not supported", name));
}

blk::FaultRule parse_fault(std::map<std::string, std::string> keys) {
  blk::FaultRule rule;
  rule.event = parse_debug_event(take(keys, "event", "none"));
  rule.state = take_state(keys, "state");
  if (const std::string kind = take(keys, "iotype", ""); !kind.empty())
    rule.operation = parse_kind(kind);
  rule.error = {static_cast<int>(parse_number("errno", take(keys, "errno", "5"), 1, 4095)),
                std::generic_category()};
  if (const std::string sector = take(keys, "sector", "-1"); sector != "-1") {
    rule.offset = parse_number("sector", sector, 0, ~uint64_t{0} / kSector) * kSector;
    rule.length = kSector;
  }
  const std::string once = take(keys, "once", "off");
  if (once == "on" || once == "true") rule.hits = 1;
  (void)take(keys, "immediately", "off");  // when a request fails is not told apart
  check_all_taken(keys);
  return rule;
}

blk::FaultRule parse_new_state(std::map<std::string, std::string> keys) {
  blk::FaultRule rule;
  rule.event = parse_debug_event(take(keys, "event", "none"));
  rule.state = take_state(keys, "state");
  rule.new_state = take_state(keys, "new_state");
  if (rule.new_state == 0) throw ConfigError("blkdebug: set-state needs a new_state above 0");
  check_all_taken(keys);
  return rule;
}

std::vector<blk::FaultRule> parse_blkdebug_text(std::string_view text) {
  std::vector<std::pair<std::string, Keys>> sections;
  std::istringstream lines{std::string(text)};
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) continue;
    if (line == "[inject-error]" || line == "[set-state]") {
      sections.emplace_back(line, Keys{});
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == std::string::npos || sections.empty())
      throw ConfigError(
          fmt::format("line {}: only [inject-error] and [set-state] with KEY = \"VALUE\" are "
                      "supported",
                      number));
    sections.back().second[trimmed(line.substr(0, equals))] = trimmed(line.substr(equals + 1));
  }
  std::vector<blk::FaultRule> rules;
  for (auto& [name, keys] : sections)
    rules.push_back(name == "[set-state]" ? parse_new_state(std::move(keys))
                                          : parse_fault(std::move(keys)));
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
