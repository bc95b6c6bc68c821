#include "tools/vireo/image/convert.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "blockdev/job/convert.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/bitmaps.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/image_name.h"
#include "tools/vireo/image/job.h"
#include "tools/vireo/image/open.h"
#include "tools/vireo/image/target.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

struct ConvertArguments {
  std::vector<std::string> files;  // the last is the target
  std::string format, target_format;
  std::string cache = "writeback", target_cache = "unsafe";
  std::string backing, backing_format;
  std::string snapshot;
  std::string sparse = "4k", rate = "0";
  std::vector<std::string> options;
  size_t in_flight = 8;
  bool compressed = false, any_order = false, force_share = false, quick = false;
  bool target_is_options = false;
  ImageArguments sources;  // what is said of all of them
  bool existing = false, target_is_zero = false, salvage = false;
  bool bitmaps = false, skip_broken_bitmaps = false;
  ProgressArguments progress;
};

using Images = std::vector<std::unique_ptr<Image>>;

[[noreturn]] void refuse(const std::string& why) {
  throw ConfigError(why);
}

uint64_t sparse_of(const ConvertArguments& arguments) {
  const uint64_t sparse = parse_size("-S", arguments.sparse);
  if (sparse % blk::Source::kSector != 0 || sparse > blk::kConvertChunk)
    refuse(fmt::format("-S: '{}' is not a multiple of 512 up to 1M", arguments.sparse));
  return sparse;
}

CreateOptions target_options(const ConvertArguments& arguments) {
  if (arguments.target_is_options) {
    const blk::Spec spec = parse_image_name("", parse_image_options(arguments.files.back()));
    return {
        .name = spec.name(), .location = spec.location, .format = blk::find_format(spec.format)};
  }
  CreateOptions options =
      read_create_options(arguments.files.back(), arguments.target_format, arguments.options);
  give_backing(options, arguments.backing, arguments.backing_format);
  (void)options.values();  // throws for what is not understood
  return options;
}

bool can(const CreateOptions& target, bool blk::Capabilities::*what) {
  return target.format != nullptr && target.format->can.*what;
}

void check_arguments(const ConvertArguments& arguments, const CreateOptions& target) {
  if (arguments.files.size() < 2) refuse("convert needs a source and a target (try --help)");
  const bool over_backing = !target.get("backing_file").empty();
  if (over_backing && arguments.files.size() > 2)
    refuse(worded("-B: several sources cannot share one backing file; convert them one by one",
                  "Having a backing file for the target makes no sense when concatenating multiple "
                  "input images"));
  if (over_backing && speaks_qemu() && target.get("backing_fmt").empty())
    refuse("Use of backing file requires explicit backing format");
  if (arguments.compressed && !can(target, &blk::Capabilities::compression))
    refuse(fmt::format("-c: only {0} images are compressed; add -O {0}",
                       blk::format_names(&blk::Capabilities::compression)));
  if (arguments.compressed && target.find("preallocation").value_or("off") != "off")
    refuse("-c: what is compressed cannot be preallocated; leave preallocation out");
  if (arguments.target_is_zero && !arguments.existing)
    refuse("--target-is-zero is about a target that exists; add -n");
  if (arguments.target_is_zero && over_backing)
    refuse("--target-is-zero: a target over a backing file shows what that holds");
  if (arguments.bitmaps && arguments.files.size() > 2)
    refuse("--bitmaps: only those of a single source can be copied");
  if (arguments.bitmaps && !can(target, &blk::Capabilities::bitmaps))
    refuse(fmt::format("--bitmaps: only {0} images have bitmaps; add -O {0}",
                       blk::format_names(&blk::Capabilities::bitmaps)));
  if (arguments.skip_broken_bitmaps && !arguments.bitmaps)
    refuse("--skip-broken-bitmaps: it is about --bitmaps");
  if (arguments.target_is_options && !arguments.existing)
    refuse("--target-image-opts is about a target that exists; add -n");
  if (arguments.quick && arguments.sparse != "4k")
    refuse(worded("-C copies without looking for zeros; leave -S out",
                  "Cannot enable copy offloading when -S is used"));
  if (arguments.quick && arguments.compressed)
    refuse(worded("-C copies as it is; leave -c out",
                  "Cannot enable copy offloading when -c is used"));
  if (!arguments.existing || arguments.options.empty()) return;
  if (!speaks_qemu()) refuse("-n: a target that exists has its options; leave -o out");
  complain("-o has no effect when skipping image creation");
}

Images open_sources(Session& session, const ConvertArguments& arguments,
                    const CreateOptions& target) {
  Images sources;
  for (size_t i = 0; i + 1 < arguments.files.size(); ++i) {
    blk::Spec spec = image_spec({.path = arguments.files[i],
                                 .format = arguments.format,
                                 .cache = arguments.cache,
                                 .snapshot = arguments.snapshot,
                                 .path_is_options = arguments.sources.path_is_options,
                                 .force_share = arguments.force_share});
    spec.read_only = true;
    spec.throttle.bps.rate = parse_size("-r", arguments.rate);
    if (blk::same_file(spec.location, target.location))
      refuse(fmt::format("'{}' is source and target; give the target another name", spec.name()));
    sources.push_back(std::make_unique<Image>(session, spec));
  }
  return sources;
}

// Opened and locked while the target is made.
std::unique_ptr<Image> open_backing(Session& session, const CreateOptions& options) {
  const std::string backing = options.get("backing_file");
  if (backing.empty()) return nullptr;
  blk::Spec spec;
  spec.references = blk::References::any;
  spec.empty = true;
  spec.location = blk::resolve_reference(options.path(), backing);
  spec.format = options.get("backing_fmt");
  spec.read_only = true;
  return with_context(fmt::format("the backing file of '{}'", options.path()),
                      [&] { return std::make_unique<Image>(session, spec); });
}

void create_target(Session& session, const CreateOptions& options, uint64_t size) {
  if (options.size().value_or(size) < size)
    refuse(fmt::format("-o: size: the source has {} bytes", size));
  blk::CreateOptions values = options.values();
  blk::set_size(values, options.size().value_or(size));
  blk::check_create(options.location, values);
  const std::unique_ptr<Image> backing = open_backing(session, options);
  const auto watch = [&session](uint64_t, uint64_t) { return !session.interrupted(); };
  session.run_job(blk::create_image(session.host(), options.location, values, watch));
}

// The data file that is made with the target; empty: none.
std::string new_data_file(const ConvertArguments& arguments, const CreateOptions& options) {
  return arguments.existing ? "" : options.data_file();
}

std::unique_ptr<Image> open_target(Session& session, const ConvertArguments& arguments,
                                   const CreateOptions& options) {
  blk::Spec spec =
      image_spec({.path = arguments.files.back(),
                  .format = arguments.target_is_options ? "" : std::string(options.format->name),
                  .cache = arguments.target_cache,
                  .path_is_options = arguments.target_is_options});
  if (const std::string data = new_data_file(arguments, options); !data.empty())
    spec.data_file = data;
  return std::make_unique<Image>(session, spec);
}

bool is_regular(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

void copy(Session& session, const ConvertArguments& arguments, const CreateOptions& options,
          const blk::Source& source, const Images& sources) {
  const std::unique_ptr<Image> target = open_target(session, arguments, options);
  if (target->size() < source.size())
    refuse(fmt::format("'{}' is smaller than the source: {} bytes, and {} are needed",
                       target->path(), target->size(), source.size()));
  const bool over_backing = !options.get("backing_file").empty();
  const bool new_file = !arguments.existing && is_regular(target->path()) && !over_backing;
  blk::ConvertOptions how{.sparse = sparse_of(arguments),
                          .target_is_zero = new_file || arguments.target_is_zero,
                          .only_allocated = over_backing,
                          .any_order = arguments.any_order,
                          .one_by_one = speaks_qemu() && !arguments.any_order,
                          .find_zeros = !arguments.quick};
  if (arguments.compressed)
    how.compressed = target->need<blk::WithClusters>("compression").cluster_size();
  if (arguments.salvage)
    how.salvage = [](uint64_t offset, std::error_code error) {
      complain(fmt::format("cannot read at offset {}: {}; zeros instead", offset, error.message()));
    };
  {
    Progress progress(arguments.progress);
    blk::JobControl control = job_control(session, progress);
    control.in_flight = arguments.in_flight;
    session.on_interrupt([&source] { source.hurry(); });
    const auto result =
        session.run(blk::convert(source, target->disk(), std::move(how), std::move(control)));
    session.on_interrupt(nullptr);
    check_job(session, result, arguments.files.front(), target->path());
  }
  if (arguments.bitmaps) copy_bitmaps(session, *sources.front(), *target);
  target->check(session.run(target->disk().flush()), "complete");
  target->close();
}

int convert(const ConvertArguments& arguments) {
  if (asks_for_help(arguments.options)) {
    std::fputs(create_options_help(arguments.target_format).c_str(), stdout);
    return kOk;
  }
  if (arguments.files.empty()) refuse("convert needs a source and a target (try --help)");
  const CreateOptions options = target_options(arguments);
  check_arguments(arguments, options);
  Session session;
  const Images sources = open_sources(session, arguments, options);
  blk::Source source;
  for (const auto& image : sources) source.add(image->disk());
  if (arguments.bitmaps) check_copied_bitmaps(*sources.front(), arguments.skip_broken_bitmaps);
  Target target(options.path());
  std::optional<Target> data;
  if (const std::string path = new_data_file(arguments, options); !path.empty()) data.emplace(path);
  if (!arguments.existing) create_target(session, options, source.size());
  copy(session, arguments, options, source, sources);
  target.complete();
  if (data) data->complete();
  return kOk;
}

void add_source_options(Options& command, ConvertArguments& arguments) {
  command.option("-f,--format", "FMT", arguments.format,
                 "Format of the sources (default: what the header says)");
  add_name_options(command, arguments.sources);
  add_snapshot_option(command, arguments.snapshot);
  add_cache_option(command, "-T", arguments.cache, "Cache of the sources");
  command.flag("-U,--force-share", arguments.force_share,
               "Open the sources although another program may be writing to them");
  command.flag("--salvage", arguments.salvage,
               "Put zeros where the sources cannot be read, and say where");
  command.flag("--bitmaps", arguments.bitmaps,
               fmt::format("Copy the source's dirty bitmaps, too ({})",
                           blk::format_names(&blk::Capabilities::bitmaps)));
  command.flag("--skip-broken-bitmaps", arguments.skip_broken_bitmaps,
               "Leave those out whose bits mean nothing");
  command.option("-r,--rate", "SIZE", arguments.rate, "Read at most so many bytes a second");
}

void add_target_options(Options& command, ConvertArguments& arguments) {
  command.option(
      "-O,--target-format", "FMT", arguments.target_format,
      fmt::format("Format of the target: {} (default: by ending, else raw)", blk::format_names()));
  add_create_options(command, arguments.options);
  command.flag("-c,--compress", arguments.compressed,
               fmt::format("Compress ({})", blk::format_names(&blk::Capabilities::compression)));
  command.option(
      "-B,--backing", "FILE", arguments.backing,
      "Lay the target over this image, which holds what the source's backing image does");
  command.option("-F,--backing-format", "FMT", arguments.backing_format, "Its format");
  command
      .option("-S", "SIZE", arguments.sparse,
              "Zeros of this size become holes; 0: write all, into a fully allocated target")
      .show_default();
  command.option("-t", "CACHE", arguments.target_cache, "Cache of the target, as -T")
      .show_default();
  command.flag("--target-image-opts", arguments.target_is_options,
               "The target is options, as with --image-opts; needs -n");
  command.flag("-n", arguments.existing, "The target exists: write into it");
  command.flag("--target-is-zero", arguments.target_is_zero, "...and reads as zeros");
}

}  // namespace

void add_convert(Options& image) {
  auto arguments = std::make_shared<ConvertArguments>();
  Options command =
      image.command("convert", "Copy images into a new one, of another format or kind");
  command.footer(
      "Chains of images become one, holes and zeros cost nothing. A new target that is not\n"
      "complete is removed.\n\n"
      "Examples:\n"
      "  vireo image convert -p disk.qcow2 disk.raw\n"
      "  vireo image convert -c -O qcow2 -o compression_type=zstd disk.img small.qcow2");
  add_source_options(command, *arguments);
  add_target_options(command, *arguments);
  command.option("-m", "COUNT", arguments->in_flight, "Requests at a time")
      .within(1, 64)
      .show_default();
  command.flag("-C", arguments->quick, "Copy data as it is, without looking for zeros in it");
  command.flag("-W", arguments->any_order, "Write in any order");
  add_progress_options(command, arguments->progress);
  command.operands("FILES", arguments->files, "The source, or several to be joined; the target");
  command.action([arguments] { return convert(*arguments); });
}

}  // namespace vireo::cli
