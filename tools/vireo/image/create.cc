#include "tools/vireo/image/create.h"

#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/open.h"
#include "tools/vireo/image/progress.h"
#include "tools/vireo/image/qemu_words.h"
#include "tools/vireo/image/target.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

struct CreateArguments {
  std::string path, format;
  std::optional<std::string> size, backing, backing_format;
  bool unsafe = false;
  std::vector<std::string> options;
  ProgressArguments progress;
};

void check_size_word(const std::string& text) {
  try {
    (void)parse_size("SIZE", text);
  } catch (const ConfigError&) {
    throw UsageError(
        "Invalid image size specified. You may use k, M, G, T, P or E suffixes for\n"
        "qemu-img: kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
  }
}

// What stands outside of -o says the same as a key inside.
CreateOptions options_of(const CreateArguments& arguments) {
  CreateOptions options = read_create_options(arguments.path, arguments.format, arguments.options);
  if (arguments.size && options.given.contains("size"))
    throw ConfigError(worded("the size is given twice: in -o and behind the name",
                             "The image size must be specified only once"));
  if (arguments.backing && arguments.backing->empty())
    throw ConfigError(worded("-b: the name of the backing file is empty; leave -b out for none",
                             "Expected backing file name, got empty string"));
  if (arguments.backing && !options.format->can.backing)
    throw ConfigError(worded(
        fmt::format("-b: a {} image cannot have a backing file; write -f {}", options.format->name,
                    blk::format_names(&blk::Capabilities::backing)),
        fmt::format("Backing file not supported for file format '{}'", options.format->name)));
  if (arguments.size && speaks_qemu()) check_size_word(*arguments.size);
  if (arguments.size) options.given["size"] = *arguments.size;
  give_backing(options, arguments.backing.value_or(""), arguments.backing_format.value_or(""));
  return options;
}

// The image below, opened to be sure of it and to learn its size. While it is open, it and what is
// below it are locked, so that the new image cannot overwrite any of them.
std::unique_ptr<Image> open_backing(Session& session, const CreateOptions& options) {
  const std::optional<std::string> named = options.find("backing_file");
  if (!named) return nullptr;
  blk::Spec spec;
  spec.location = blk::resolve_reference(options.path(), *named);
  spec.format = options.get("backing_fmt");
  if (spec.format.empty() && speaks_qemu()) spec.format = blk::kProbe;
  spec.read_only = true;
  spec.references = blk::References::any;
  spec.empty = true;
  if (blk::same_file(spec.location, options.location))
    throw ConfigError(
        worded(fmt::format("'{}' cannot be its own backing file; give the new image another name",
                           options.path()),
               "Error: Trying to create an image with the same filename as the backing file"));
  return with_context(fmt::format("the backing file of '{}'", options.path()),
                      [&] { return std::make_unique<Image>(session, spec); });
}

// The size of the disk, in bytes and in the plan: as given, else that of the image below.
void settle_size(CreateOptions& options, const Image* backing) {
  const std::optional<std::string> given = options.find("size");
  if (!given && backing == nullptr)
    throw ConfigError(worded("a size is needed: write it behind the name, such as 10G",
                             "Image creation needs a size parameter"));
  const uint64_t size = given ? parse_size("SIZE", *given) : backing->size();
  options.given["size"] = std::to_string(size);
}

void make(Session& session, const CreateOptions& options, const blk::CreateOptions& values,
          const ProgressArguments& shown) {
  Target target(options.path());
  std::optional<Target> data;
  if (const std::string path = options.data_file(); !path.empty()) data.emplace(path);
  {
    Progress progress(shown);
    const auto watch = [&](uint64_t done, uint64_t total) {
      progress.update(done, total);
      return !session.interrupted();
    };
    session.run_job(blk::create_image(session.host(), options.location, values, watch));
  }
  target.complete();
  if (data) data->complete();
}

void print_plan(const CreateArguments& arguments, const CreateOptions& options) {
  if (!arguments.progress.quiet) std::printf("%s\n", plan_line(options).c_str());
}

void create_image(const CreateArguments& arguments) {
  CreateOptions options = options_of(arguments);
  Session session;
  std::unique_ptr<Image> backing;
  if (!arguments.unsafe) backing = open_backing(session, options);
  settle_size(options, backing.get());
  if (speaks_qemu()) print_plan(arguments, options);  // before it looks at what the values say
  const blk::CreateOptions values = options.values();
  blk::check_create(options.location, values);
  if (!speaks_qemu()) print_plan(arguments, options);
  make(session, options, values, arguments.progress);
}

int create(const CreateArguments& arguments) {
  if (asks_for_help(arguments.options)) {
    std::fputs(create_options_help(arguments.format).c_str(), stdout);
    return kOk;
  }
  if (arguments.path.empty()) throw ConfigError("FILE is required (try --help)");
  try {
    create_image(arguments);
  } catch (const ConfigError& error) {
    if (!speaks_qemu()) throw;
    std::fflush(stdout);
    throw ConfigError(fmt::format("{}: {}", arguments.path, qemu_create_reason(error)));
  }
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
                 fmt::format("Format: {} (default: by the ending, else raw)", blk::format_names()));
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
