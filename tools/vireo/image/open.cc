#include "tools/vireo/image/open.h"

#include <fmt/format.h>

#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/image_name.h"
#include "tools/vireo/image/qemu_words.h"
#include "tools/vireo/image/secret.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

// "snapshot.id=1", "snapshot.name=clean" or either without the key.
std::string without_key(const std::string& snapshot) {
  for (const std::string_view key : {"snapshot.id=", "snapshot.name="})
    if (snapshot.starts_with(key)) return snapshot.substr(key.size());
  return snapshot;
}

const blk::Spec& checked(const blk::Spec& spec) {
  if (!spec.lock && !spec.read_only)
    throw ConfigError(fmt::format("-U is for looking at '{}', not for changing it", spec.name()));
  return spec;
}

// A signal ends the repair of an image that was not closed, too.
std::unique_ptr<blk::Disk> open_disk(Session& session, blk::Spec spec) {
  spec.progress = [&session](uint64_t, uint64_t) { return !session.interrupted(); };
  try {
    std::string name = spec.name();
    return session.run(blk::open_disk(session.host(), std::move(name), std::move(spec)));
  } catch (...) {
    session.stop_if_interrupted();
    throw;
  }
}

}  // namespace

void add_image_options(Options& command, ImageArguments& image, bool file_required) {
  command.option("-f,--format", "FMT", image.format,
                 fmt::format("Format: {} (default: what the header says)", blk::format_names()));
  command.flag("-U,--force-share", image.force_share,
               "Open it although another program may be writing to it");
  add_name_options(command, image);
  command.operand("FILE", image.path, "The image").require(file_required);
}

void add_name_options(Options& command, ImageArguments& image) {
  command.flag("--image-opts", image.path_is_options,
               "FILE is options: driver=raw,file.filename=disk.img,offset=1M");
  add_secret_option(command);
}

void add_cache_option(Options& command, const std::string& option, std::string& cache,
                      const std::string& what) {
  command.option(option, "CACHE", cache, fmt::format("{}: {}", what, blk::one_of(blk::kCacheWords)))
      .show_default();
}

void add_snapshot_option(Options& command, std::string& snapshot) {
  command.option("-l,--snapshot", "SNAPSHOT", snapshot,
                 "Take this internal snapshot: its id or name");
}

void add_output_option(Options& command, std::string& output) {
  command.option("--output", "FMT", output, "human or json")
      .one_of({"human", "json"})
      .show_default();
}

namespace {

// Neither the image nor what lies below it is locked.
void share(blk::Spec& spec) {
  spec.lock = false;
  if (!spec.below) return;
  blk::Spec below = *spec.below;
  share(below);
  spec.below = std::make_shared<const blk::Spec>(std::move(below));
}

}  // namespace

blk::Spec image_spec(const ImageArguments& image) {
  if (image.path_is_options && !image.format.empty())
    throw ConfigError(worded("--image-opts and -f exclude each other; write driver=FMT",
                             "--image-opts and --format are mutually exclusive"));
  const std::string name = image.path_is_options ? "" : image.path;
  const std::string options = image.path_is_options ? image.path : image.options;
  blk::Spec spec = parse_image_name(name, parse_image_options(options));
  const bool names_null = is_null(spec) && image.format.starts_with("null-");
  if (!image.format.empty() && !names_null) spec.format = image.format;
  if (spec.format.empty()) spec.format = blk::kProbe;
  if (spec.cache == blk::CacheMode::writeback) spec.cache = blk::parse_cache_mode(image.cache);
  if (!image.aio.empty() && image.aio != "io_uring") spec.aio = blk::parse_aio_mode(image.aio);
  spec.empty = true;
  if (image.force_share || !spec.lock) share(spec);
  if (!image.snapshot.empty()) spec.internal = without_key(image.snapshot);
  return spec;
}

std::string local_path(const std::string& name) {
  return name.empty() ? name : parse_image_name(name, {}).name();
}

void warn_of_ending(const blk::Spec& spec, const std::string& format) {
  const std::string named = blk::format_by_name(spec.name());
  if (spec.format != blk::kProbe || named.empty() || named == format) return;
  complain(
      fmt::format("'{}' is a {} image by its header, not {} as its name says; write -f to be "
                  "sure",
                  spec.name(), format, named));
}

namespace {

// What opening throws, in QEMU's words where they are asked for.
template <class Function>
auto in_words(const blk::Spec& spec, Function open) {
  try {
    return open();
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    if (!speaks_qemu()) throw;
    const std::string reason = qemu_reason(error);
    throw ConfigError(dialect() == Dialect::qemu_io
                          ? reason
                          : fmt::format("Could not open '{}': {}", spec.name(), reason));
  }
}

std::unique_ptr<blk::Disk> open_graph(Session& session, const blk::Spec& spec) {
  return in_words(spec, [&] { return open_disk(session, checked(spec)); });
}

}  // namespace

blk::ImageDescription describe_image(Session& session, const blk::Spec& spec) {
  return in_words(spec, [&] { return session.run(blk::describe_image(session.host(), spec)); });
}

Image::Image(Session& session, const blk::Spec& spec)
    : session_(session),
      path_(spec.name()),
      disk_(open_graph(session, spec)),
      node_(blk::format_node(*disk_)) {
  warn_of_ending(spec, std::string(node_.format()));
}

Image::~Image() {
  if (closed_) return;
  [[maybe_unused]] const auto ignored =
      session_.run(disk_->close());  // another error is on its way
}

void Image::close() {
  closed_ = true;
  check(session_.run(disk_->close()), "complete");
}

void Image::check(std::error_code error, const std::string& action) const {
  if (error) throw std::system_error(error, fmt::format("cannot {} '{}'", action, path_));
}

}  // namespace vireo::cli
