#include "tools/vireo/image/amend.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/key_values.h"
#include "tools/vireo/image/open.h"
#include "tools/vireo/image/progress.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr uint64_t kSector = 512;

constexpr const char* kHelp = R"(Options that 'amend' changes of qcow2 images:
  backing_file=FILE       the image that this one lies over; only the name, as 'rebase -u' does
  backing_fmt=FMT         its format
  compat=0.10|1.1         version 2 or 3 of the format
  data_file=FILE          the name of the raw file that has the data
  data_file_raw=off       the data file need not be valid by itself any longer
  lazy_refcounts=on|off   write reference counts late; an unclean end costs a check
  refcount_bits=N         width of a reference count: 1 to 64, a power of two
  size=SIZE               size of the disk
)";

struct AmendArguments {
  ImageArguments image;
  std::vector<std::string> options;
  bool force = false;
  ProgressArguments progress;
};

constexpr std::string_view kOnlyNew[] = {"cluster_size", "compression_type", "extended_l2",
                                         "preallocation"};

KeyValues keys_of(const AmendArguments& arguments) {
  std::vector<std::string_view> known{"backing_file",  "backing_fmt",   "compat",
                                      "data_file",     "data_file_raw", "lazy_refcounts",
                                      "refcount_bits", "size"};
  known.insert(known.end(), std::begin(kOnlyNew), std::end(kOnlyNew));
  KeyValues keys("-o", read_options(arguments.options), known);
  for (const std::string_view key : kOnlyNew)
    if (keys.find(std::string(key)))
      throw ConfigError(fmt::format(
          "-o: {} is chosen when an image is made; convert it into a new one instead", key));
  return keys;
}

std::optional<bool> flag_of(const KeyValues& keys, const std::string& key) {
  if (!keys.find(key)) return std::nullopt;
  return keys.flag(key, false);
}

blk::Qcow2AmendOptions amend_options(const KeyValues& keys) {
  blk::Qcow2AmendOptions options;
  if (const auto compat = keys.find("compat")) options.version = parse_compat(*compat);
  if (const auto size = keys.find("size"))
    options.size = (parse_size("-o: size", *size) + kSector - 1) / kSector * kSector;
  if (const auto bits = keys.find("refcount_bits"))
    options.refcount_bits = static_cast<uint32_t>(parse_number("-o: refcount_bits", *bits, 1, 64));
  options.lazy_refcounts = flag_of(keys, "lazy_refcounts");
  options.backing_file = keys.find("backing_file");
  options.backing_format = keys.find("backing_fmt");
  options.data_file = keys.find("data_file");
  options.data_file_raw = flag_of(keys, "data_file_raw");
  return options;
}

int amend(const AmendArguments& arguments) {
  if (asks_for_help(arguments.options)) {
    std::fputs(kHelp, stdout);
    return kOk;
  }
  if (arguments.options.empty()) throw ConfigError("-o: say what is to change (-o help)");
  blk::Qcow2AmendOptions options = amend_options(keys_of(arguments));
  Session session;
  Image image(session, image_spec(arguments.image));
  if (image.qcow2() == nullptr && speaks_qemu())
    throw ConfigError("Format driver 'raw' does not support option amendment");
  blk::Qcow2& qcow2 = image.need_qcow2("options that can be changed");
  if (options.size && *options.size < image.size() && !arguments.force)
    throw ConfigError(
        fmt::format("'{}' would lose the {} bytes behind its new end; add --force if "
                    "that is meant",
                    image.path(), image.size() - *options.size));
  Progress progress(arguments.progress);
  const auto watch = [&](uint64_t done, uint64_t total) {
    progress.update(done, total);
    return !session.interrupted();
  };
  const std::error_code error = session.run(qcow2.amend(std::move(options), watch));
  if (error == std::errc::operation_canceled) session.stop_if_interrupted();
  if (error == std::errc::value_too_large)
    throw ConfigError(
        fmt::format("cannot amend '{}': a cluster is in use more often than counts "
                    "of that width can say; its snapshots share clusters",
                    image.path()));
  image.check(error, "amend");
  image.close();
  progress.update(1, 1);
  return kOk;
}

}  // namespace

void add_amend(Options& image) {
  auto arguments = std::make_shared<AmendArguments>();
  Options command = image.command("amend", "Change the options of an existing qcow2 image");
  command.footer(
      "What the disk shows stays the same, and so does what its snapshots show. An amend that was\n"
      "interrupted can be repeated.\n\n"
      "Example:\n"
      "  vireo image amend -o compat=1.1,lazy_refcounts=on disk.qcow2");
  add_image_options(command, arguments->image);
  add_cache_option(command, "-t", arguments->image.cache);
  command.option("-o", "OPTIONS", arguments->options,
                 "What is to change: KEY=VALUE[,...]; -o help lists them");
  command.flag("--force", arguments->force, "Permit to lose what is behind a new end of the disk");
  add_progress_options(command, arguments->progress);
  command.action([arguments] { return amend(*arguments); });
}

}  // namespace vireo::cli
