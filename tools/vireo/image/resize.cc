#include "tools/vireo/image/resize.h"

#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/open.h"
#include "tools/vireo/image/progress.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr uint64_t kSector = 512;

struct ResizeArguments {
  ImageArguments image;
  std::string size;
  std::string preallocation = "off";
  bool shrink = false;
  ProgressArguments progress;
};

// "+10G" and "-5G" are relative to `now`. Whole sectors.
uint64_t new_size(const std::string& text, uint64_t now) {
  const bool grows = text.starts_with('+'), shrinks = text.starts_with('-');
  const uint64_t number = parse_size("SIZE", grows || shrinks ? text.substr(1) : text);
  if (shrinks && number >= now)
    throw ConfigError(fmt::format("SIZE: {} is not less than the {} bytes there are", number, now));
  const uint64_t size = grows ? now + number : shrinks ? now - number : number;
  if (size == 0 || size >> 63 != 0)
    throw ConfigError(fmt::format("SIZE: '{}' makes no disk of a positive size", text));
  return (size + kSector - 1) / kSector * kSector;
}

// What does not go together.
void check(const ResizeArguments& arguments, blk::Preallocation how, uint64_t size, Image& image) {
  if (size < image.size() && how != blk::Preallocation::off)
    throw ConfigError(worded("--preallocation is for growing images only",
                             "Preallocation can only be used for growing images"));
  if (size < image.size() && !arguments.shrink)
    throw ConfigError(
        fmt::format("'{}' would lose the {} bytes behind its new end; add --shrink if that is "
                    "meant",
                    image.path(), image.size() - size));
  if (image.find<blk::WithClusters>() == nullptr && how == blk::Preallocation::metadata)
    throw ConfigError(
        fmt::format("--preallocation: a {} image has no metadata; write off, falloc or full",
                    image.node().format()));
}

// Without all of it, the image stays as it was.
void preallocate(Session& session, Image& image, uint64_t start, blk::Preallocation how,
                 const ProgressArguments& shown) {
  Progress progress(shown);
  const auto watch = [&](uint64_t done, uint64_t total) {
    progress.update(done, total);
    return !session.interrupted();
  };
  const std::error_code error =
      session.run(blk::preallocate(image.disk().graph(), start, how, watch));
  if (!error) return;
  [[maybe_unused]] const auto undone = session.run(image.disk().resize(start));
  session.stop_if_interrupted();
  image.check(error, "set space aside for");
}

int resize(const ResizeArguments& arguments) {
  const blk::Preallocation how =
      blk::parse_preallocation("--preallocation", arguments.preallocation);
  Session session;
  Image image(session, image_spec(arguments.image));
  const uint64_t before = image.size();
  const uint64_t size = new_size(arguments.size, before);
  check(arguments, how, size, image);
  image.check(session.run(image.disk().resize(size)), "resize");
  if (how != blk::Preallocation::off) preallocate(session, image, before, how, arguments.progress);
  image.close();
  if (!arguments.progress.quiet) std::printf("Image resized.\n");
  return kOk;
}

}  // namespace

void add_resize(Options& image) {
  auto arguments = std::make_shared<ResizeArguments>();
  Options command = image.command("resize", "Make a disk larger or smaller");
  command.footer(
      "What is gained reads as zeros. File systems and partitions inside must be resized by the\n"
      "guest: before the disk is made smaller, after it was made larger.\n\n"
      "Examples:\n"
      "  vireo image resize disk.qcow2 +10G\n"
      "  vireo image resize --shrink disk.qcow2 20G");
  add_image_options(command, arguments->image);
  command.operand("SIZE", arguments->size, "The new size, or +SIZE, or -SIZE").require();
  command.flag("--shrink", arguments->shrink, "Permit to lose what is behind the new end");
  command
      .option("--preallocation", "HOW", arguments->preallocation,
              "For what is gained: off, metadata, falloc or full")
      .show_default();
  add_progress_options(command, arguments->progress);
  command.action([arguments] { return resize(*arguments); });
}

}  // namespace vireo::cli
