#include "blockdev/format/format.h"

#include <algorithm>
#include <array>

#include "blockdev/format/qcow2/keys.h"
#include "blockdev/format/qcow2/qcow2.h"

namespace vireo::blk {

namespace {

using namespace std::string_view_literals;

Task<ImageFacts> describe_raw(std::unique_ptr<Node> file, std::string) {
  co_return ImageFacts{.virtual_size = file->limits().size};
}

constexpr std::array kRawEndings{".raw"sv, ".img"sv};
constexpr std::array kQcow2Endings{".qcow2"sv};
constexpr std::array kFormats{
    Format{.name = "raw",
           .endings = kRawEndings,
           .can = {},
           .keys = raw_keys,
           .create_options = [](const KeyTexts& given) -> CreateOptions {
             return parse_raw_create(given);
           },
           .describe = describe_raw},
    Format{.name = "qcow2",
           .endings = kQcow2Endings,
           .can = {.backing = true, .bitmaps = true, .compression = true},
           .keys = qcow2_keys,
           .create_options = [](const KeyTexts& given) -> CreateOptions {
             return parse_qcow2_create(given);
           },
           .describe = describe_qcow2,
           .check_changes = [](const KeyTexts& given) { (void)parse_qcow2_amend(given); }},
};

template <class Predicate>
std::string names_where(Predicate fits) {
  std::vector<Word<const Format*>> words;
  for (const Format& format : kFormats)
    if (fits(format)) words.emplace_back(format.name, &format);
  return one_of(words);
}

}  // namespace

std::span<const Format> formats() noexcept {
  return kFormats;
}

const Format* find_format(std::string_view name) noexcept {
  const auto* const found = std::ranges::find(kFormats, name, &Format::name);
  return found == kFormats.end() ? nullptr : found;
}

std::string format_by_name(std::string_view path) {
  for (const Format& format : kFormats)
    for (const std::string_view ending : format.endings)
      if (path.ends_with(ending)) return std::string(format.name);
  return "";
}

std::string format_names() {
  return names_where([](const Format&) { return true; });
}

std::string format_names(bool Capabilities::*what) {
  return names_where([what](const Format& format) { return format.can.*what; });
}

}  // namespace vireo::blk
