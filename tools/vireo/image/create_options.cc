#include "tools/vireo/image/create_options.h"

#include <algorithm>

#include <fmt/format.h>

#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

const blk::Format& format_of(const std::string& path, const std::string& format) {
  const std::string ending = speaks_qemu() ? "" : blk::format_by_name(path);
  const std::string name = !format.empty() ? format : !ending.empty() ? ending : "raw";
  if (const blk::Format* const found = blk::find_format(name)) return *found;
  throw ConfigError(
      speaks_qemu()
          ? fmt::format("Format driver '{}' does not support image creation", format)
          : fmt::format("there is no format '{}': write {}", format, blk::format_names()));
}

void check_keys(const CreateOptions& options) {
  const blk::ImageKeys keys = options.format->keys();
  for (const auto& [key, value] : options.given)
    if (blk::find_key(keys, key) == nullptr)
      throw ConfigError(speaks_qemu()
                            ? fmt::format("Invalid parameter '{}'", key)
                            : fmt::format("-o: there is no '{}' in {} images; -o help lists what "
                                          "there is",
                                          key, options.format->name));
}

// A size as a number of bytes, anything else as it was written.
std::string as_shown(const blk::ImageKey& key, const std::string& value) {
  const bool is_size = key.kind == blk::ImageKey::Kind::size;
  return is_size ? std::to_string(parse_size(key.name, value)) : value;
}

}  // namespace

void add_create_options(Options& command, std::vector<std::string>& texts) {
  command.option("-o", "OPTIONS", texts,
                 "Options of the new image: KEY=VALUE[,...]; -o help lists them");
}

ImageOptions read_options(const std::vector<std::string>& texts) {
  return parse_image_options(fmt::format("{}", fmt::join(texts, ",")));
}

bool asks_for_help(const std::vector<std::string>& texts) {
  return std::any_of(texts.begin(), texts.end(),
                     [](const std::string& text) { return text == "help" || text == "?"; });
}

std::string create_options_help(const std::string& format) {
  const blk::Format& found = format_of("", format);
  return fmt::format("Options of {} images:\n{}", found.name, blk::create_help(found.keys()));
}

std::optional<std::string> CreateOptions::find(const std::string& key) const {
  const auto found = given.find(key);
  return found == given.end() ? std::nullopt : std::optional(found->second);
}

std::optional<uint64_t> CreateOptions::size() const {
  const auto text = find("size");
  return text ? std::optional(parse_size("-o: size", *text)) : std::nullopt;
}

std::string CreateOptions::data_file() const {
  const std::string file = get("data_file");
  return file.empty() ? "" : blk::resolve_reference(path(), file);
}

blk::CreateOptions CreateOptions::values() const {
  return in_options([this] { return format->create_options(given); });
}

CreateOptions read_create_options(const std::string& path, const std::string& format,
                                  const std::vector<std::string>& texts) {
  const blk::Location location = path.empty() ? "" : parse_image_name(path, {}).location;
  CreateOptions options{.name = path,
                        .location = location,
                        .format = &format_of(location.name(), format),
                        .given = read_options(texts)};
  check_keys(options);
  return options;
}

void give_backing(CreateOptions& options, const std::string& file, const std::string& format) {
  if (file.empty() && format.empty()) return;
  if (!options.format->can.backing)
    throw ConfigError(
        fmt::format("cannot create {0} image '{1}': a {0} image cannot have a "
                    "backing file",
                    options.format->name, options.path()));
  if (!file.empty()) options.given["backing_file"] = file;
  if (!format.empty()) options.given["backing_fmt"] = format;
}

// In QEMU's order; those with a value stand there although nobody gave them.
std::string plan_line(const CreateOptions& options) {
  std::string line = fmt::format("Formatting '{}', fmt={}", options.name, options.format->name);
  for (const blk::ImageKey& key : options.format->keys()) {
    const std::string otherwise(key.planned ? key.fallback : "");
    const std::string value = options.find(std::string(key.name)).value_or(otherwise);
    if (!value.empty()) line += fmt::format(" {}={}", key.name, as_shown(key, value));
  }
  return printable(line);
}

}  // namespace vireo::cli
