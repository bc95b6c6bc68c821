#include "tools/vireo/image/create_options.h"

#include <algorithm>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "tools/vireo/parse.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

constexpr const char* kOption = "-o";

constexpr const char* kRawHelp = R"(Options of raw images:
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
  extended_l2=on|off      allocate in 32nds of a cluster
  lazy_refcounts=on|off   write reference counts late; an unclean end costs a check
  preallocation=off|metadata|falloc|full
                          metadata: the mapping; falloc: and the space; full: and zeros in it
  refcount_bits=N         width of a reference count: 1 to 64, a power of two (16)
  size=SIZE               size of the disk
)";

std::string join(const std::vector<std::string>& texts) {
  return fmt::format("{}", fmt::join(texts, ","));
}

KeyValues keys_of(const std::string& format, const std::string& text) {
  if (format == "raw") return {kOption, text, "", {"size", "preallocation"}};
  return {kOption,
          text,
          "",
          {"size", "preallocation", "backing_file", "backing_fmt", "cluster_size", "compat",
           "compression_type", "data_file", "data_file_raw", "extended_l2", "lazy_refcounts",
           "refcount_bits"}};
}

uint32_t parse_version(const std::string& word) {
  if (word == "0.10" || word == "v2") return 2;
  if (word == "1.1" || word == "v3") return 3;
  throw ConfigError(fmt::format("-o: compat={}: it is 0.10 or 1.1", word));
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
  image.backing_file = keys.get("backing_file", "");
  image.backing_format = keys.get("backing_fmt", "");
  image.cluster_size = parse_size("-o: cluster_size", keys.get("cluster_size", "64k"));
  image.version = parse_version(keys.get("compat", "1.1"));
  image.compression = parse_compression(keys.get("compression_type", "zlib"));
  image.data_file = keys.get("data_file", "");
  image.data_file_raw = keys.flag("data_file_raw", false);
  image.extended_l2 = keys.flag("extended_l2", false);
  image.lazy_refcounts = keys.flag("lazy_refcounts", false);
  image.refcount_bits = parse_refcount_bits(keys.get("refcount_bits", "16"));
}

std::string format_of(const std::string& path, const std::string& format) {
  if (format.empty()) return path.ends_with(".qcow2") ? "qcow2" : "raw";
  if (blk::can_create(format)) return format;
  throw ConfigError(fmt::format("there is no format '{}': write raw or qcow2", format));
}

}  // namespace

void add_create_options(Options& command, std::vector<std::string>& texts) {
  command.option("-o", "OPTIONS", texts,
                 "Options of the new image: KEY=VALUE[,...]; -o help lists them");
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

CreateOptions parse_create_options(const std::string& path, const std::string& format,
                                   const std::vector<std::string>& texts) {
  CreateOptions options{.format = format_of(path, format), .size = {}, .image = {}};
  options.image.path = path;
  if (texts.empty()) return options;
  const KeyValues keys = keys_of(options.format, join(texts));
  if (const auto size = keys.find("size")) options.size = parse_size("-o: size", *size);
  options.image.preallocation =
      parse_preallocation("-o: preallocation", keys.get("preallocation", "off"));
  if (options.format == "qcow2") set_qcow2(options.image, keys);
  return options;
}

}  // namespace vireo::cli
