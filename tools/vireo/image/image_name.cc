#include "tools/vireo/image/image_name.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "tools/vireo/image/blkdebug.h"
#include "tools/vireo/image/dialect.h"
#include "vmm/base/error.h"
#include "vmm/base/json_reader.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr std::string_view kFile = "file:", kJson = "json:", kBlkdebug = "blkdebug:";
constexpr size_t kMaxDepth = 8;  // of a name in a name
constexpr uint64_t kNullSize = uint64_t{1} << 30;
constexpr uint64_t kLargestBlock = 4096;

// What changes neither content nor what is on the disk: names, caches' ways, checks of one's own.
constexpr std::array<std::string_view, 13> kHints{"node-name",
                                                  "discard",
                                                  "pass-discard-request",
                                                  "pass-discard-snapshot",
                                                  "pass-discard-other",
                                                  "overlap-check",
                                                  "overlap-check.template",
                                                  "cache-clean-interval",
                                                  "lazy-refcounts",
                                                  "l2-cache-entry-size",
                                                  "locking",
                                                  "x-check-cache-dropped",
                                                  "latency-ns"};

// Options that are taken one by one; what is left at the end was not known.
class Taker {
 public:
  explicit Taker(ImageOptions options) : options_(std::move(options)) {}

  std::optional<std::string> take(const std::string& key) {
    const auto found = options_.find(key);
    if (found == options_.end()) return std::nullopt;
    std::string value = std::move(found->second);
    options_.erase(found);
    return value;
  }
  std::optional<bool> take_flag(const std::string& key) {
    const auto text = take(key);
    if (!text) return std::nullopt;
    if (*text == "on" || *text == "true" || *text == "yes") return true;
    if (*text == "off" || *text == "false" || *text == "no") return false;
    throw ConfigError(speaks_qemu()
                          ? fmt::format("Parameter '{}' expects 'on' or 'off'", key)
                          : fmt::format("image option {}={}: it is on or off", key, *text));
  }
  std::optional<uint64_t> take_size(const std::string& key) {
    const auto text = take(key);
    if (!text) return std::nullopt;
    return parse_size(key, *text);
  }
  // "file.filename" for "file": the options of what lies below, without its name.
  ImageOptions take_below(const std::string& name) {
    ImageOptions below;
    const std::string prefix = name + ".";
    for (auto at = options_.lower_bound(prefix);
         at != options_.end() && at->first.starts_with(prefix); at = options_.erase(at))
      below.emplace(at->first.substr(prefix.size()), at->second);
    return below;
  }
  void take_hints() {
    for (const std::string_view key : kHints) options_.erase(std::string(key));
  }
  void done() const {
    if (options_.empty()) return;
    throw ConfigError(fmt::format("image option '{}' is not known", options_.begin()->first));
  }

 private:
  ImageOptions options_;
};

bool names_null(const std::string& driver) {
  return driver == "null-co" || driver == "null-aio";
}

bool is_file(const std::string& driver) {
  return driver == "file" || driver == "host_device";
}

// What a name stands for by itself: an image in some format, or the bytes below one.
enum class Level : uint8_t { format, protocol };

blk::Spec parse(const std::string& name, ImageOptions options, Level level, size_t depth);

void set_cache(Taker& options, blk::Spec& spec) {
  const auto direct = options.take_flag("cache.direct"),
             unsafe = options.take_flag("cache.no-flush");
  const auto writeback = options.take_flag("cache.writeback");
  if (direct.value_or(false)) spec.cache = blk::CacheMode::none;
  if (!writeback.value_or(true))
    spec.cache = direct.value_or(false) ? blk::CacheMode::directsync : blk::CacheMode::writethrough;
  if (unsafe.value_or(false)) spec.cache = blk::CacheMode::unsafe;
}

void set_common(Taker& options, blk::Spec& spec) {
  set_cache(options, spec);
  spec.read_only = options.take_flag("read-only").value_or(spec.read_only);
  if (options.take_flag("force-share").value_or(false)) spec.lock = false;
  if (const auto aio = options.take("aio"); aio && *aio != "io_uring")
    spec.aio = blk::parse_aio_mode(*aio);
  if (const auto zeroes = options.take("detect-zeroes"); zeroes && *zeroes != "off")
    throw ConfigError("image option detect-zeroes is not supported; leave it out");
  (void)options.take_flag("auto-read-only");
  options.take_hints();
}

blk::Spec null_disk(Taker& options) {
  const uint64_t size = options.take_size("size").value_or(kNullSize);
  blk::Spec spec{.location = {blk::NullLocation{size}}, .format = "raw"};
  (void)options.take_flag("read-zeroes");  // it always does
  set_common(options, spec);
  options.done();
  return spec;
}

// What the options of a file, "filename" among them, say.
blk::Spec file(Taker& options, size_t depth) {
  const auto filename = options.take("filename");
  if (!filename) throw ConfigError("image option 'filename' is missing: which file?");
  blk::Spec spec = parse(*filename, {}, Level::protocol, depth + 1);
  set_common(options, spec);
  options.done();
  return spec;
}

// Nothing but a file and what holds for its requests.
bool is_plain(const blk::Spec& spec) {
  const bool nested = std::holds_alternative<blk::NestedLocation>(spec.location.place);
  return spec.format.empty() || is_null(spec) ||
         (spec.format == "raw" && !nested && spec.window.offset == 0 && spec.window.size == 0);
}

// What lies on it sees it as a file.
blk::Spec as_file(blk::Spec spec) {
  if (is_plain(spec)) return spec;
  const blk::References references = spec.references;
  blk::NestedLocation nested{std::make_shared<const blk::Spec>(std::move(spec))};
  return {.location = {std::move(nested)}, .references = references};
}

uint32_t take_block(Taker& options) {
  const uint64_t block = options.take_size("align").value_or(1);
  if (block == 0 || block > kLargestBlock || (block & (block - 1)) != 0)
    throw ConfigError(
        fmt::format("blkdebug: align={}: it is a power of two up to {}", block, kLargestBlock));
  return static_cast<uint32_t>(block);
}

// "inject-error.0.event" and so on.
void take_rules(Taker& options, const std::string& kind, blk::FaultRule (*parse_rule)(ImageOptions),
                std::vector<blk::FaultRule>& rules) {
  for (size_t i = 0;; ++i) {
    const ImageOptions rule = options.take_below(fmt::format("{}.{}", kind, i));
    if (rule.empty()) return;
    rules.push_back(parse_rule(rule));
  }
}

// A file whose requests fail as the options say.
blk::Spec faulty_file(Taker& options, size_t depth) {
  blk::Spec spec =
      as_file(parse(options.take("image").value_or(options.take("x-image").value_or("")),
                    options.take_below("image"), Level::protocol, depth + 1));
  blk::Faults& faults = spec.location.faults;
  faults.limits = {.block = take_block(options),
                   .zero_unit = options.take_size("opt-write-zero").value_or(0),
                   .zero_length = options.take_size("max-write-zero").value_or(0)};
  // How long other requests may be matters to nobody here.
  for (const char* key : {"max-transfer", "opt-discard", "max-discard"})
    (void)options.take_size(key);
  if (const auto config = options.take("config")) faults.rules = read_blkdebug(*config);
  take_rules(options, "inject-error", parse_fault, faults.rules);
  take_rules(options, "set-state", parse_new_state, faults.rules);
  faults.debug = true;
  set_common(options, spec);
  options.done();
  return spec;
}

// The protocol below a format: "file" as a name, or its options.
blk::Spec protocol(Taker& options, const std::string& name, size_t depth) {
  ImageOptions below = options.take_below("file");
  if (const auto filename = options.take("filename")) below.emplace("filename", *filename);
  const std::string file = options.take("file").value_or(name);
  if (file.empty() && below.empty())
    throw ConfigError("image option 'file.filename' is missing: which file?");
  return parse(file, std::move(below), Level::protocol, depth + 1);
}

bool names_image(const ImageOptions& options) {
  const auto driver = options.find("driver");
  if (driver != options.end() && names_null(driver->second)) return true;
  return std::any_of(options.begin(), options.end(), [](const auto& option) {
    return option.first == "filename" || option.first == "file" ||
           option.first == "file.filename" || option.first == "file.driver";
  });
}

void set_backing(Taker& options, blk::Spec& spec, size_t depth) {
  ImageOptions below = options.take_below("backing");
  const auto name = options.take("backing");
  if (!below.empty() && !names_image(below)) {  // about the one that the header names
    Taker hints(std::move(below));
    spec.backing_format = hints.take("driver").value_or("");
    hints.take_hints();
    hints.done();
  } else if (!below.empty()) {
    auto backing = std::make_shared<blk::Spec>(parse("", below, Level::format, depth + 1));
    backing->read_only = true;
    backing->empty = true;
    if (backing->format.empty()) backing->format = blk::kProbe;
    spec.below = std::move(backing);
  } else if (name && (name->empty() || *name == "null")) {
    spec.no_backing = true;
  } else if (name && (*name == "on" || *name == "beside" || *name == "off")) {
    spec.references = blk::parse_references(*name);
  } else if (name) {
    throw ConfigError(
        fmt::format("image option backing={}: write on, beside or off for those that the image "
                    "names, or name another with backing.file.filename",
                    *name));
  }
}

// The tables share one cache.
void set_table_cache(Taker& options, blk::Spec& spec) {
  const auto all = options.take_size("cache-size"), l2 = options.take_size("l2-cache-size"),
             refcounts = options.take_size("refcount-cache-size");
  if (all && l2 && refcounts)
    throw ConfigError(
        "cache-size, l2-cache-size and refcount-cache-size may not be set at the same time");
  if (all && l2.value_or(0) > *all) throw ConfigError("l2-cache-size may not exceed cache-size");
  if (all && refcounts.value_or(0) > *all)
    throw ConfigError("refcount-cache-size may not exceed cache-size");
  spec.metadata_cache = all.value_or(l2.value_or(0));
}

void set_data_file(Taker& options, blk::Spec& spec) {
  ImageOptions below = options.take_below("data-file");
  if (below.empty()) return;
  blk::Spec data = parse("", std::move(below), Level::protocol, 1);
  if (!is_plain(data)) throw ConfigError("a qcow2's data file is a plain file, without a format");
  spec.data_file = std::move(data.location);
}

blk::Spec format_of_options(Taker& options, const std::string& driver, const std::string& name,
                            size_t depth) {
  blk::Spec spec = as_file(protocol(options, name, depth));
  if (!driver.empty()) spec.format = driver;
  if (driver == "raw") {
    spec.window.offset = options.take_size("offset").value_or(0);
    spec.window.size = options.take_size("size").value_or(0);
  }
  set_table_cache(options, spec);
  set_backing(options, spec, depth);
  set_data_file(options, spec);
  set_common(options, spec);
  options.done();
  return spec;
}

blk::Spec parse_options(const std::string& name, ImageOptions members, Level level, size_t depth) {
  if (!name.empty() && level == Level::protocol) members.emplace("filename", name);
  Taker options(std::move(members));
  const std::string driver = options.take("driver").value_or("");
  if (names_null(driver)) return null_disk(options);
  const bool is_bytes =
      is_file(driver) || driver == "blkdebug" || (driver.empty() && level == Level::protocol);
  if (!is_bytes) return format_of_options(options, driver, name, depth);
  blk::Spec spec = driver == "blkdebug" ? faulty_file(options, depth) : file(options, depth);
  if (level == Level::format) spec.format = "raw";
  return spec;
}

// "blkdebug:CONF:NAME"; CONF may be empty.
blk::Spec parse_blkdebug(const std::string& name, ImageOptions options, Level level, size_t depth) {
  const size_t colon = name.find(':', kBlkdebug.size());
  if (colon == std::string::npos)
    throw ConfigError(fmt::format("'{}': write blkdebug:CONF:NAME", name));
  const std::string config = name.substr(kBlkdebug.size(), colon - kBlkdebug.size());
  const auto driver = options.find("driver");
  const bool itself =
      level == Level::protocol || (driver != options.end() && driver->second == "blkdebug");
  const std::string prefix = itself ? "" : "file.";
  options[prefix + "driver"] = "blkdebug";
  options[prefix + "image"] = name.substr(colon + 1);
  if (!config.empty()) options[prefix + "config"] = config;
  return parse_options("", std::move(options), level, depth + 1);
}

// Without the prefix, a name that looks as if it had another one names the same file.
std::string plain_path(const std::string& path) {
  const size_t colon = path.find(':');
  return colon != std::string::npos && path.find('/') > colon ? "./" + path : path;
}

blk::Spec parse(const std::string& name, ImageOptions options, Level level, size_t depth) {
  if (depth > kMaxDepth) throw ConfigError("the image's name holds too many others");
  if (name.starts_with(kJson)) {
    ImageOptions members = flatten_json(std::string_view(name).substr(kJson.size()));
    for (auto& [key, value] : options) members[key] = value;
    return parse_options("", std::move(members), level, depth);
  }
  if (name.starts_with(kBlkdebug)) return parse_blkdebug(name, std::move(options), level, depth);
  for (const std::string_view scheme : {"null-co://", "null-aio://"})
    if (name == scheme) {
      Taker taker(std::move(options));
      (void)taker.take("driver");
      return null_disk(taker);
    }
  if (name.empty() || !options.empty())
    return parse_options(name, std::move(options), level, depth);
  const std::string path = name.starts_with(kFile) ? plain_path(name.substr(kFile.size())) : name;
  return {.location = path, .references = blk::References::any};  // the user names the image
}

}  // namespace

ImageOptions parse_image_options(const std::string& text) {
  ImageOptions options;
  for (size_t at = 0; at < text.size();) {
    std::string part;
    for (; at < text.size() && (text[at] != ',' || text.substr(at, 2) == ",,"); ++at) {
      if (text[at] == ',') ++at;
      part += text[at];
    }
    ++at;
    const size_t equals = part.find('=');
    options[part.substr(0, equals)] = equals == std::string::npos ? "on" : part.substr(equals + 1);
  }
  return options;
}

std::string image_options_text(const ImageOptions& options) {
  std::string text;
  for (const auto& [key, value] : options) {
    text += fmt::format("{}{}=", text.empty() ? "" : ",", key);
    for (const char c : value) text += c == ',' ? std::string(",,") : std::string(1, c);
  }
  return text;
}

bool is_null(const blk::Spec& spec) noexcept {
  return std::holds_alternative<blk::NullLocation>(spec.location.place);
}

blk::Spec parse_image_name(const std::string& name, const ImageOptions& options) {
  return parse(name, options, Level::format, 0);
}

}  // namespace vireo::cli
