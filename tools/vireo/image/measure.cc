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

Sizes measure_raw(uint64_t size) {
  const uint64_t bytes = (size + 511) / 512 * 512;
  return {bytes, bytes, {}};
}

std::optional<uint64_t> bitmaps_size(Image* image, uint64_t cluster) {
  if (image == nullptr || image->qcow2() == nullptr || image->qcow2()->header().version < 3)
    return std::nullopt;
  return blk::qcow2::bitmaps_file_size(image->qcow2()->bitmaps(), image->size(), cluster);
}

// `image`: what would be converted, or null for one that is all zeros.
Sizes measure_qcow2(Session& session, const blk::Qcow2CreateOptions& options, Image* image) {
  const uint64_t cluster = options.cluster_size;
  const uint64_t guest = (options.size + cluster - 1) / cluster * cluster;
  const uint64_t full = blk::full_file_size(options);
  const bool all = options.preallocation == blk::Preallocation::full ||
                   options.preallocation == blk::Preallocation::falloc ||
                   (image != nullptr && !options.backing_file.empty());
  uint64_t data = 0;
  if (all)
    data = guest;
  else if (image != nullptr)
    data = used_clusters(session, *image, cluster);
  return {full - guest + data, full,
          options.version < 3 ? std::nullopt : bitmaps_size(image, cluster)};
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
  CreateOptions options = parse_create_options("", arguments.format, arguments.options);
  Session session;
  std::unique_ptr<Image> image;
  if (!arguments.image.path.empty()) {
    blk::Spec spec = image_spec(arguments.image);
    spec.read_only = true;
    image = std::make_unique<Image>(session, spec);
  }
  options.image.size = image ? image->size() : parse_size("--size", arguments.size);
  options.image.path = "the new image";
  blk::check_create(options.format, options.image);
  const Sizes sizes = options.format == "raw" ? measure_raw(options.image.size)
                                              : measure_qcow2(session, options.image, image.get());
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
  command.option("-O", "FMT", arguments->format, "Format of the new image: raw or qcow2")
      .show_default();
  command.option("--size", "SIZE", arguments->size, "Size of its disk, instead of a FILE");
  add_create_options(command, arguments->options);
  add_output_option(command, arguments->output);
  command.action([arguments] { return measure(*arguments); });
}

}  // namespace vireo::cli
