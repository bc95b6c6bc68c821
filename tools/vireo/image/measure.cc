#include "tools/vireo/image/measure.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"
#include "vmm/base/json.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

struct MeasureArguments {
  ImageArguments image;
  std::string format = "raw";
  std::string size;
  std::string output = "human";
  std::vector<std::string> options;
};

// Bytes of the clusters that have something else than zeros.
uint64_t used_clusters(Session& session, Image& image, uint64_t cluster) {
  uint64_t used = 0;
  const uint64_t size = image.size();
  for (uint64_t at = 0; at < size;) {
    session.stop_if_interrupted();
    const blk::Extent extent = session.run(image.disk().extent(at, size - at));
    uint64_t end = at + std::max<uint64_t>(extent.length, 1);
    if (!extent.zero) {
      const uint64_t first = at / cluster * cluster;
      end = (end + cluster - 1) / cluster * cluster;
      used += end - first;
    }
    at = end;
  }
  return used;
}

struct Sizes {
  uint64_t required = 0, full = 0;
  std::optional<uint64_t> bitmaps{};  // of a source that can have some, on top
};

std::optional<uint64_t> bitmaps_size(Image* image, uint64_t cluster) {
  auto* const with = image == nullptr ? nullptr : image->find<blk::WithBitmaps>();
  return with == nullptr ? std::nullopt : with->bitmaps_size(cluster);
}

// The new image has space for all of its disk from the start.
bool allocates_all(const CreateOptions& options, const Image* image) {
  const std::string preallocation = options.get("preallocation");
  return preallocation == "full" || preallocation == "falloc" ||
         (image != nullptr && !options.get("backing_file").empty());
}

// `image`: what would be converted, or null for one that is all zeros.
Sizes measure_file(Session& session, const CreateOptions& options, const blk::FilePlan& plan,
                   uint64_t size, Image* image) {
  if (plan.unit == 0) return {plan.full, plan.full, {}};
  const uint64_t guest = (size + plan.unit - 1) / plan.unit * plan.unit;
  uint64_t data = 0;
  if (allocates_all(options, image))
    data = guest;
  else if (image != nullptr)
    data = used_clusters(session, *image, plan.unit);
  return {plan.full - guest + data, plan.full,
          plan.bitmaps ? bitmaps_size(image, plan.unit) : std::nullopt};
}

void print(const Sizes& sizes, bool json) {
  if (json) {
    Json object = Json::object();
    if (sizes.bitmaps) object.add("bitmaps", *sizes.bitmaps);
    object.add("required", sizes.required).add("fully-allocated", sizes.full);
    std::printf("%s\n", object.pretty().c_str());
    return;
  }
  std::printf("required size: %llu\nfully allocated size: %llu\n",
              static_cast<unsigned long long>(sizes.required),
              static_cast<unsigned long long>(sizes.full));
  if (sizes.bitmaps)
    std::printf("bitmaps size: %llu\n", static_cast<unsigned long long>(*sizes.bitmaps));
}

int measure(const MeasureArguments& arguments) {
  if (arguments.image.path.empty() == arguments.size.empty())
    throw ConfigError("either --size or the FILE to be converted is required (try --help)");
  if (arguments.image.path.empty() && !arguments.image.snapshot.empty())
    throw ConfigError("-l: a snapshot is one of a FILE; leave --size out");
  const CreateOptions options = read_create_options("", arguments.format, arguments.options);
  blk::CreateOptions values = options.values();
  Session session;
  std::unique_ptr<Image> image;
  if (!arguments.image.path.empty()) {
    blk::Spec spec = image_spec(arguments.image);
    spec.read_only = true;
    image = std::make_unique<Image>(session, spec);
  }
  const uint64_t size = image ? image->size() : parse_size("--size", arguments.size);
  blk::set_size(values, size);
  blk::check_create("the new image", values);
  const blk::FilePlan plan = blk::plan_file(values);
  const Sizes sizes = measure_file(session, options, plan, size, image.get());
  print(sizes, arguments.output == "json");
  return kOk;
}

}  // namespace

void add_measure(Options& image) {
  auto arguments = std::make_shared<MeasureArguments>();
  Options command = image.command("measure", "Tell how large the file of a new image would become");
  command.footer(
      "'required' is what a conversion of FILE, or a new image of --size, writes at most;\n"
      "'fully allocated' is what the file can grow to. A data file and compression are left out.\n"
      "'bitmaps' is what convert --bitmaps adds.");
  add_image_options(command, arguments->image, false);
  add_snapshot_option(command, arguments->image.snapshot);
  command
      .option("-O", "FMT", arguments->format,
              fmt::format("Format of the new image: {}", blk::format_names()))
      .show_default();
  command.option("--size", "SIZE", arguments->size, "Size of its disk, instead of a FILE");
  add_create_options(command, arguments->options);
  add_output_option(command, arguments->output);
  command.action([arguments] { return measure(*arguments); });
}

}  // namespace vireo::cli
