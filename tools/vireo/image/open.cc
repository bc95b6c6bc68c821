#include "tools/vireo/image/open.h"

#include <fmt/format.h>

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
    throw ConfigError(fmt::format("-U is for looking at '{}', not for changing it", spec.path));
  return spec;
}

}  // namespace

void add_image_options(Options& command, ImageArguments& image, bool file_required) {
  command.option("-f,--format", "FMT", image.format,
                 "Format: raw or qcow2 (default: by the ending)");
  command.flag("-U,--force-share", image.force_share,
               "Open it although another program may be writing to it");
  command.operand("FILE", image.path, "The image").require(file_required);
}

void add_cache_option(Options& command, const std::string& option, std::string& cache,
                      const std::string& what) {
  command.option(option, "CACHE", cache, what + ": writeback, none, writethrough, unsafe")
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

blk::Spec image_spec(const ImageArguments& image) {
  blk::Spec spec;
  spec.path = image.path;
  spec.format = image.format;
  spec.cache = blk::parse_cache_mode(image.cache);
  spec.references = blk::References::any;  // the owner names the image
  spec.empty = true;
  spec.lock = !image.force_share;
  spec.internal = without_key(image.snapshot);
  return spec;
}

Image::Image(Session& session, const blk::Spec& spec)
    : session_(session),
      path_(spec.path),
      disk_(session.run(blk::open_disk(session.host(), spec.path, checked(spec)))),
      qcow2_(dynamic_cast<blk::Qcow2*>(&disk_->graph())) {}

Image::~Image() {
  if (closed_) return;
  [[maybe_unused]] const auto ignored =
      session_.run(disk_->close());  // another error is on its way
}

blk::Qcow2& Image::need_qcow2(const std::string& what) {
  if (qcow2_ == nullptr)
    throw ConfigError(fmt::format("'{}' is a raw image, which has no {}", path_, what));
  return *qcow2_;
}

void Image::close() {
  closed_ = true;
  check(session_.run(disk_->close()), "complete");
}

void Image::check(std::error_code error, const std::string& action) const {
  if (error) throw std::system_error(error, fmt::format("cannot {} '{}'", action, path_));
}

}  // namespace vireo::cli
