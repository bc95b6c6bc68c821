#include "tools/vireo/image/create_options.h"

#include <algorithm>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/key_values.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr const char* kOption = "-o";

constexpr const char* kRawHelp = R"(Options of raw images:
  extent_size_hint=SIZE   what the host's file system sets aside at a time (a hint)
  nocow=on|off            no copy on write by the host's file system (btrfs)
  preallocation=off|falloc|full
                          off: sparse; falloc: space is set aside; full: zeros are written
  size=SIZE               size of the disk
)";

constexpr const char* kQcow2Help = R"(Options of qcow2 images:
  backing_file=FILE       the image that this one lies over
  backing_fmt=FMT         its format
  cluster_size=SIZE       512 to 2M, a power of two (64k)
  compat=0.10|1.1         version 2 or 3 of the format (1.1)
  compression_type=zlib|zstd
                          how compressed clusters are packed (zlib)
  data_file=FILE          keep the data in this raw file, relative to the image
  data_file_raw=on|off    the data file stays valid by itself
  encryption=off          encrypted images cannot be made
  extended_l2=on|off      allocate in 32nds of a cluster
  extent_size_hint=SIZE   what the host's file system sets aside at a time (a hint)
  lazy_refcounts=on|off   write reference counts late; an unclean end costs a check
  nocow=on|off            no copy on write by the host's file system (btrfs)
  preallocation=off|metadata|falloc|full
                          metadata: the mapping; falloc: and the space; full: and zeros in it
  refcount_bits=N         width of a reference count: 1 to 64, a power of two (16)
  size=SIZE               size of the disk
)";

std::vector<std::string_view> keys_of_format(const std::string& format) {
  if (format == "raw") return {"size", "preallocation", "nocow", "extent_size_hint"};
  return {"size",        "preallocation",    "backing_file",   "backing_fmt",   "cluster_size",
          "compat",      "compression_type", "data_file",      "data_file_raw", "encryption",
          "extended_l2", "extent_size_hint", "lazy_refcounts", "nocow",         "refcount_bits"};
}

blk::qcow2::Compression parse_compression(const std::string& word) {
  if (word == "zlib") return blk::qcow2::Compression::zlib;
  if (word == "zstd") return blk::qcow2::Compression::zstd;
  throw ConfigError(fmt::format("-o: compression_type={}: it is zlib or zstd", word));
}

uint32_t parse_refcount_bits(const std::string& text) {
  const uint64_t bits = parse_size("-o: refcount_bits", text);
  return static_cast<uint32_t>(std::min<uint64_t>(bits, ~uint32_t{0}));
}

void set_qcow2(blk::Qcow2CreateOptions& image, const KeyValues& keys) {
  if (keys.flag("encryption", false))
    throw ConfigError("-o: encryption=on: encrypted images are not supported; leave it out");
  image.backing_file = keys.get("backing_file", "");
  image.backing_format = keys.get("backing_fmt", "");
  image.cluster_size = parse_size("-o: cluster_size", keys.get("cluster_size", "64k"));
  image.version = parse_compat(keys.get("compat", "1.1"));
  image.compression = parse_compression(keys.get("compression_type", "zlib"));
  image.data_file = keys.get("data_file", "");
  image.data_file_raw = keys.flag("data_file_raw", false);
  image.extended_l2 = keys.flag("extended_l2", false);
  image.lazy_refcounts = keys.flag("lazy_refcounts", false);
  image.refcount_bits = parse_refcount_bits(keys.get("refcount_bits", "16"));
}

std::string format_of(const std::string& path, const std::string& format) {
  if (format.empty()) return !speaks_qemu() && path.ends_with(".qcow2") ? "qcow2" : "raw";
  if (blk::can_create(format)) return format;
  throw ConfigError(speaks_qemu()
                        ? fmt::format("Format driver '{}' does not support image creation", format)
                        : fmt::format("there is no format '{}': write raw or qcow2", format));
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
  return format_of("", format) == "raw" ? kRawHelp : kQcow2Help;
}

blk::Preallocation parse_preallocation(const std::string& option, const std::string& word) {
  if (word == "off") return blk::Preallocation::off;
  if (word == "metadata") return blk::Preallocation::metadata;
  if (word == "falloc") return blk::Preallocation::falloc;
  if (word == "full") return blk::Preallocation::full;
  throw ConfigError(fmt::format("{}: '{}' is no preallocation: it is off, metadata, falloc or full",
                                option, word));
}

uint32_t parse_compat(const std::string& word) {
  if (word == "0.10" || word == "v2") return 2;
  if (word == "1.1" || word == "v3") return 3;
  throw ConfigError(fmt::format("-o: compat={}: it is 0.10 or 1.1", word));
}

CreateOptions read_create_options(const std::string& path, const std::string& format,
                                  const std::vector<std::string>& texts) {
  const std::string local = local_path(path);
  CreateOptions options{.name = path, .format = format_of(local, format)};
  options.image.path = local;
  options.given = read_options(texts);
  const auto keys = keys_of_format(options.format);
  for (const auto& [key, value] : options.given)
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw ConfigError(speaks_qemu()
                            ? fmt::format("Invalid parameter '{}'", key)
                            : fmt::format("-o: there is no '{}' in {} images; -o help lists what "
                                          "there is",
                                          key, options.format));
  return options;
}

void set_values(CreateOptions& options) {
  if (options.given.empty()) return;
  const KeyValues keys(kOption, options.given, keys_of_format(options.format));
  if (const auto size = keys.find("size")) options.size = parse_size("-o: size", *size);
  options.file.no_copy_on_write = keys.flag("nocow", false);
  options.file.extent_size = keys.size("extent_size_hint", 0);
  options.image.preallocation =
      parse_preallocation("-o: preallocation", keys.get("preallocation", "off"));
  if (options.format == "qcow2") set_qcow2(options.image, keys);
}

CreateOptions parse_create_options(const std::string& path, const std::string& format,
                                   const std::vector<std::string>& texts) {
  CreateOptions options = read_create_options(path, format, texts);
  set_values(options);
  return options;
}

namespace {

// A size as a number of bytes, anything else as it was written.
std::string as_shown(const std::string& key, const std::string& value) {
  const bool is_size = key == "cluster_size" || key == "size" || key == "extent_size_hint";
  return is_size ? std::to_string(parse_size(key, value)) : value;
}

}  // namespace

std::string plan_line(const CreateOptions& options) {
  // In QEMU's order; those with a value stand there although nobody gave them.
  static constexpr std::pair<const char*, const char*> kQcow2Keys[] = {{"encryption", ""},
                                                                       {"cluster_size", "65536"},
                                                                       {"extended_l2", "off"},
                                                                       {"preallocation", ""},
                                                                       {"compression_type", "zlib"},
                                                                       {"size", ""},
                                                                       {"compat", ""},
                                                                       {"backing_file", ""},
                                                                       {"backing_fmt", ""},
                                                                       {"data_file", ""},
                                                                       {"data_file_raw", ""},
                                                                       {"lazy_refcounts", "off"},
                                                                       {"refcount_bits", "16"},
                                                                       {"nocow", ""},
                                                                       {"extent_size_hint", ""}};
  static constexpr std::pair<const char*, const char*> kRawKeys[] = {
      {"size", ""}, {"preallocation", ""}, {"nocow", ""}, {"extent_size_hint", ""}};
  std::string line = fmt::format("Formatting '{}', fmt={}", options.name, options.format);
  const auto add = [&](const char* key, const char* otherwise) {
    const auto found = options.given.find(key);
    const std::string value = found == options.given.end() ? otherwise : found->second;
    if (!value.empty()) line += fmt::format(" {}={}", key, as_shown(key, value));
  };
  if (options.format == "raw")
    for (const auto& [key, otherwise] : kRawKeys) add(key, otherwise);
  else
    for (const auto& [key, otherwise] : kQcow2Keys) add(key, otherwise);
  return printable(line);
}

}  // namespace vireo::cli
