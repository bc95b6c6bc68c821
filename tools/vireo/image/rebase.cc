#include "tools/vireo/image/rebase.h"

#include <memory>
#include <vector>

#include <fmt/format.h>

#include "blockdev/job/rebase.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/chain.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/job.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

struct RebaseArguments {
  ImageArguments image;
  std::string backing, backing_format, backing_cache = "writeback";
  bool unsafe = false;
  ProgressArguments progress;
};

using Chain = std::vector<blk::Spec>;
using Images = std::vector<std::unique_ptr<Image>>;

// The options of the overlay are its own.
blk::Spec backing_spec(const RebaseArguments& arguments, const blk::Spec& overlay) {
  blk::Spec spec{.location = blk::resolve_reference(overlay.name(), arguments.backing)};
  spec.references = blk::References::any;
  spec.empty = true;
  spec.lock = overlay.lock;
  spec.format = arguments.backing_format;
  spec.cache = blk::parse_cache_mode(arguments.backing_cache);
  spec.read_only = true;
  spec.format = blk::format_of(spec);
  return spec;
}

// What is named below the overlay must not lead back to it.
void check_no_loop(Session& session, const blk::Spec& overlay, const blk::Spec& backing) {
  const Chain below =
      with_context("the new backing file", [&] { return find_chain(session, backing); });
  if (find_in_chain(below, overlay.location) < below.size())
    throw ConfigError(fmt::format("'{}' lies over '{}': the chain would be a loop", backing.name(),
                                  overlay.name()));
}

// The images of the overlay's chain above the new backing image, if that is one of the chain.
Images open_between(Session& session, const Chain& chain, const blk::Spec& backing) {
  Images between;
  const size_t end = find_in_chain(chain, backing.location);
  for (size_t i = 1; i < end && end < chain.size(); ++i) {
    blk::Spec spec = chain[i];
    spec.read_only = true;
    spec.no_backing = true;
    spec.below = {};
    between.push_back(std::make_unique<Image>(session, spec));
  }
  return between;
}

void copy_differences(Session& session, const RebaseArguments& arguments, Image& overlay,
                      Image* backing, const Images& between) {
  blk::RebaseOptions options;
  if (backing != nullptr) options.backing.add(backing->disk());
  std::vector<blk::Disk*> disks;
  for (const auto& image : between) disks.push_back(&image->disk());
  options.between = blk::Layers(std::move(disks));
  Progress progress(arguments.progress);
  const auto result =
      session.run(blk::rebase(overlay.disk(), std::move(options), job_control(session, progress)));
  check_job(session, result, arguments.backing, overlay.path());
}

void name_backing(Session& session, const RebaseArguments& arguments, Image& overlay,
                  const std::string& format) {
  auto& image = overlay.need<blk::WithBacking>("backing file");
  overlay.check(session.run(image.set_backing(arguments.backing, format)),
                "name a backing file in");
  overlay.close();
}

// Only the header changes; neither the old nor the new one need exist.
void rebase_unsafe(Session& session, const RebaseArguments& arguments, blk::Spec spec) {
  spec.no_backing = true;
  spec.below = {};
  Image overlay(session, spec);
  if (arguments.backing_format.empty() && !arguments.backing.empty())
    throw ConfigError(speaks_qemu()
                          ? fmt::format("Could not change the backing file to '{}': backing format "
                                        "must be specified",
                                        arguments.backing)
                          : "-u: say with -F what format the backing file has");
  name_backing(session, arguments, overlay, arguments.backing_format);
}

void rebase_safe(Session& session, const RebaseArguments& arguments, blk::Spec spec) {
  const Chain chain = find_chain(session, spec);
  std::unique_ptr<Image> backing;
  Images between;
  std::string format;
  if (!arguments.backing.empty()) {
    const blk::Spec below = backing_spec(arguments, spec);
    format = below.format;
    check_no_loop(session, spec, below);
    backing = std::make_unique<Image>(session, below);
    between = open_between(session, chain, below);
  }
  Image overlay(session, spec);
  overlay.need<blk::WithBacking>("backing file");
  copy_differences(session, arguments, overlay, backing.get(), between);
  name_backing(session, arguments, overlay, format);
}

int run(const RebaseArguments& arguments) {
  Session session;
  blk::Spec spec = image_spec(arguments.image);
  if (arguments.unsafe)
    rebase_unsafe(session, arguments, spec);
  else
    rebase_safe(session, arguments, spec);
  return kOk;
}

}  // namespace

void add_rebase(Options& image) {
  auto arguments = std::make_shared<RebaseArguments>();
  Options command = image.command("rebase", "Lay an overlay over another image");
  command.footer(
      "The overlay shows the same as before: where the two images below differ, it gets a copy\n"
      "first. With -b '' it gets all, and needs none. A rebase that was interrupted can be\n"
      "repeated.\n\n"
      "With -u only the names change: for an image that was moved or renamed. Then -F is needed.");
  add_image_options(command, arguments->image);
  add_cache_option(command, "-t", arguments->image.cache, "Cache of the overlay");
  command.option("-T", "CACHE", arguments->backing_cache, "Cache of the image below")
      .show_default();
  command
      .option("-b,--backing", "FILE", arguments->backing,
              "The image below from now on, relative to the overlay; '': none")
      .require();
  command.option("-F,--backing-format", "FMT", arguments->backing_format,
                 "Its format (default: by the ending)");
  command.flag("-u,--unsafe", arguments->unsafe, "Only change the names");
  add_progress_options(command, arguments->progress);
  command.action([arguments] { return run(*arguments); });
}

}  // namespace vireo::cli
