#include "tools/vireo/image/create.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/open.h"
#include "tools/vireo/image/progress.h"
#include "tools/vireo/image/target.h"
#include "tools/vireo/parse.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

struct CreateArguments {
  std::string path, format, size;
  std::string backing, backing_format;
  bool unsafe = false;
  std::vector<std::string> options;
  ProgressArguments progress;
};

CreateOptions options_of(const CreateArguments& arguments) {
  CreateOptions options = parse_create_options(arguments.path, arguments.format, arguments.options);
  if (!arguments.backing.empty()) options.image.backing_file = arguments.backing;
  if (!arguments.backing_format.empty()) options.image.backing_format = arguments.backing_format;
  if (!arguments.size.empty()) options.size = parse_size("SIZE", arguments.size);
  return options;
}

// The image below, opened to be sure of it and to learn its size. While it is open, it and what is
// below it are locked, so that the new image cannot overwrite any of them.
std::unique_ptr<Image> open_backing(Session& session, const CreateOptions& options) {
  blk::Spec spec;
  spec.path = blk::resolve_reference(options.image.path, options.image.backing_file);
  spec.format = options.image.backing_format;
  spec.read_only = true;
  spec.references = blk::References::any;
  spec.empty = true;
  std::error_code ignored;
  if (std::filesystem::equivalent(spec.path, options.image.path, ignored))
    throw ConfigError(
        fmt::format("'{}' cannot be its own backing file; give the new image another name",
                    options.image.path));
  return with_context(fmt::format("the backing file of '{}'", options.image.path),
                      [&] { return std::make_unique<Image>(session, spec); });
}

void print_plan(const CreateOptions& options) {
  const blk::Qcow2CreateOptions& image = options.image;
  std::string text = fmt::format("Formatting '{}', fmt={}", image.path, options.format);
  const auto add = [&text](const char* key, const auto& value) {
    text += fmt::format(" {}={}", key, value);
  };
  const auto on_off = [](bool value) { return value ? "on" : "off"; };
  const bool qcow2 = options.format == "qcow2";
  if (qcow2) {
    add("cluster_size", image.cluster_size);
    add("extended_l2", on_off(image.extended_l2));
    const bool zstd = image.compression == blk::qcow2::Compression::zstd;
    add("compression_type", zstd ? "zstd" : "zlib");
  }
  add("size", image.size);
  if (!image.backing_file.empty()) {
    add("backing_file", image.backing_file);
    add("backing_fmt", image.backing_format);
  }
  if (!image.data_file.empty()) {
    add("data_file", image.data_file);
    add("data_file_raw", on_off(image.data_file_raw));
  }
  if (qcow2) {
    add("lazy_refcounts", on_off(image.lazy_refcounts));
    add("refcount_bits", image.refcount_bits);
  }
  std::printf("%s\n", text.c_str());
}

void make(Session& session, const CreateOptions& options, const ProgressArguments& shown) {
  Target target(options.image.path);
  std::optional<Target> data;
  if (!options.image.data_file.empty())
    data.emplace(blk::resolve_reference(options.image.path, options.image.data_file));
  if (!shown.quiet) print_plan(options);
  {
    Progress progress(shown);
    const auto watch = [&](uint64_t done, uint64_t total) {
      progress.update(done, total);
      return !session.interrupted();
    };
    session.run_job(blk::create_image(session.host(), options.format, options.image, watch));
  }
  target.complete();
  if (data) data->complete();
}

int create(const CreateArguments& arguments) {
  if (asks_for_help(arguments.options)) {
    std::fputs(create_options_help(arguments.format).c_str(), stdout);
    return kOk;
  }
  if (arguments.path.empty()) throw ConfigError("FILE is required (try --help)");
  CreateOptions options = options_of(arguments);
  blk::check_create(options.format, options.image);
  Session session;
  std::unique_ptr<Image> backing;
  if (!options.image.backing_file.empty() && !arguments.unsafe)
    backing = open_backing(session, options);
  if (!options.size && backing) options.size = backing->size();
  if (!options.size)
    throw ConfigError(fmt::format("'{}' needs a size: write it behind the name, such as 10G",
                                  options.image.path));
  options.image.size = *options.size;
  blk::check_create(options.format, options.image);
  make(session, options, arguments.progress);
  return kOk;
}

}  // namespace

void add_create(Options& image) {
  auto arguments = std::make_shared<CreateArguments>();
  Options command = image.command("create", "Make a new, empty image");
  command.footer(
      "A file that is there already is overwritten, unless it is in use.\n\n"
      "Examples:\n"
      "  vireo image create disk.qcow2 20G\n"
      "  vireo image create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2");
  command.option("-f,--format", "FMT", arguments->format,
                 "Format: raw or qcow2 (default: by the ending, else raw)");
  command.option("-b,--backing", "FILE", arguments->backing,
                 "Lay the image over this one; relative to the new image");
  command.option("-F,--backing-format", "FMT", arguments->backing_format,
                 "Format of the image below");
  command.flag("-u", arguments->unsafe, "Do not look at the image below; it may be missing");
  add_create_options(command, arguments->options);
  add_progress_options(command, arguments->progress);
  command.operand("FILE", arguments->path, "The new image");
  command.operand("SIZE", arguments->size, "Size of the disk (default: that of the image below)");
  command.action([arguments] { return create(*arguments); });
}

}  // namespace vireo::cli
