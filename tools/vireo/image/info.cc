#include "tools/vireo/image/info.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/chain.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"
#include "vmm/base/json.h"

namespace vireo::cli {

namespace {

struct InfoArguments {
  ImageArguments image;
  std::string output = "human";
  bool chain = false;
};

using blk::ImageBitmap;
using blk::ImageBitmaps;
using blk::ImageDescription;

// The disk in whole sectors, as a guest of QEMU sees it.
uint64_t virtual_size(const ImageDescription& image) {
  return (image.facts.virtual_size + 511) / 512 * 512;
}

Json snapshots_json(const std::vector<blk::ImageSnapshot>& snapshots) {
  Json list = Json::array();
  for (const auto& snapshot : snapshots) {
    Json entry = Json::object();
    if (snapshot.instructions) entry.add("icount", *snapshot.instructions);
    entry.add("vm-clock-nsec", snapshot.vm_clock_nanoseconds % 1000000000)
        .add("name", snapshot.name)
        .add("date-sec", snapshot.date_seconds)
        .add("date-nsec", snapshot.date_nanoseconds)
        .add("vm-clock-sec", snapshot.vm_clock_nanoseconds / 1000000000)
        .add("id", snapshot.id)
        .add("vm-state-size", snapshot.vm_state_size);
    list.add(std::move(entry));
  }
  return list;
}

std::vector<const char*> flag_names(const ImageBitmap& bitmap) {
  std::vector<const char*> names;
  if (bitmap.in_use) names.push_back("in-use");
  if (bitmap.automatic) names.push_back("auto");
  return names;
}

Json as_json(const ImageBitmaps& bitmaps) {
  Json list = Json::array();
  for (const ImageBitmap& bitmap : bitmaps) {
    Json flags = Json::array();
    for (const char* name : flag_names(bitmap)) flags.add(name);
    list.add(Json::object()
                 .add("flags", std::move(flags))
                 .add("name", bitmap.name)
                 .add("granularity", bitmap.granularity));
  }
  return list;
}

template <class T>
Json as_json(const T& value) {
  return Json(value);
}

Json details_json(const ImageDescription& image) {
  Json data = Json::object();
  for (const blk::ImageDetail& detail : image.facts.details) {
    std::string key(detail.name);
    std::ranges::replace(key, ' ', '-');
    data.add(key, std::visit([](const auto& value) { return as_json(value); }, detail.value));
  }
  return Json::object().add("type", image.format).add("data", std::move(data));
}

Json to_json(const ImageDescription& image) {
  const blk::ImageFacts& facts = image.facts;
  Json json = Json::object();
  if (!facts.backing_format.empty()) json.add("backing-filename-format", facts.backing_format);
  if (!facts.snapshots.empty()) json.add("snapshots", snapshots_json(facts.snapshots));
  json.add("virtual-size", virtual_size(image)).add("filename", image.path);
  if (facts.cluster_size != 0) json.add("cluster-size", facts.cluster_size);
  json.add("format", image.format).add("actual-size", image.actual_size);
  if (facts.encrypted) json.add("encrypted", true);
  if (!facts.details.empty()) json.add("format-specific", details_json(image));
  if (!facts.backing_file.empty())
    json.add("full-backing-filename", blk::resolve_reference(image.path, facts.backing_file))
        .add("backing-filename", facts.backing_file);
  return json.add("dirty-flag", facts.dirty);
}

std::string as_text(bool value) {
  return value ? "true" : "false";
}

std::string as_text(uint64_t value) {
  return std::to_string(value);
}

std::string as_text(const std::string& value) {
  return printable(value);
}

std::string lines_of(std::string_view name, const auto& value) {
  return fmt::format("    {}: {}\n", name, as_text(value));
}

std::string lines_of(std::string_view name, const ImageBitmaps& bitmaps) {
  std::string text = fmt::format("    {}:\n", name);
  for (size_t i = 0; i < bitmaps.size(); ++i) {
    const ImageBitmap& bitmap = bitmaps[i];
    text += fmt::format("        [{}]:\n            flags:\n", i);
    for (size_t j = 0; const char* flag : flag_names(bitmap))
      text += fmt::format("                [{}]: {}\n", j++, flag);
    text += fmt::format("            name: {}\n            granularity: {}\n",
                        printable(bitmap.name), bitmap.granularity);
  }
  return text;
}

void print_backing(const ImageDescription& image) {
  const std::string& name = image.facts.backing_file;
  if (name.empty()) return;
  const std::string actual = blk::resolve_reference(image.path, name);
  std::printf("backing file: %s", printable(name).c_str());
  if (actual != name) std::printf(" (actual path: %s)", printable(actual).c_str());
  std::printf("\n");
  if (const std::string& format = image.facts.backing_format; !format.empty())
    std::printf("backing file format: %s\n", printable(format).c_str());
}

void print_human(const ImageDescription& image) {
  const uint64_t size = virtual_size(image);
  const blk::ImageFacts& facts = image.facts;
  std::printf("image: %s\nfile format: %s\nvirtual size: %s (%llu bytes)\ndisk size: %s\n",
              printable(image.path).c_str(), image.format.c_str(), human_size(size).c_str(),
              static_cast<unsigned long long>(size), human_size(image.actual_size).c_str());
  if (facts.encrypted) std::printf("encrypted: yes\n");
  if (facts.dirty) std::printf("cleanly shut down: no\n");
  if (facts.cluster_size != 0)
    std::printf("cluster_size: %llu\n", static_cast<unsigned long long>(facts.cluster_size));
  print_backing(image);
  if (!facts.snapshots.empty())
    std::printf("Snapshot list:\n%s", snapshot_table(facts.snapshots).c_str());
  std::fputs(details_text(facts).c_str(), stdout);
}

// The image, or all of its chain.
std::vector<ImageDescription> describe(Session& session, const blk::Spec& spec, bool chain) {
  if (!chain) return {describe_image(session, spec)};
  std::vector<ImageDescription> images;
  for (Layer& layer : describe_chain(session, spec)) images.push_back(std::move(layer.image));
  return images;
}

void print_json(const std::vector<ImageDescription>& chain, bool as_list) {
  Json list = Json::array();
  for (const ImageDescription& image : chain) list.add(to_json(image));
  const std::string text = as_list ? list.pretty() : to_json(chain.front()).pretty();
  std::printf("%s\n", text.c_str());
}

int info(const InfoArguments& arguments) {
  Session session;
  const blk::Spec spec = image_spec(arguments.image);
  const auto chain = describe(session, spec, arguments.chain);
  warn_of_ending(spec, chain.front().format);
  if (arguments.output == "json") {
    print_json(chain, arguments.chain);
    return kOk;
  }
  for (const char* separator = ""; const ImageDescription& image : chain) {
    std::fputs(separator, stdout);
    print_human(image);
    separator = "\n";
  }
  return kOk;
}

}  // namespace

std::string details_text(const blk::ImageFacts& image) {
  if (image.details.empty()) return "";
  std::string text = "Format specific information:\n";
  for (const blk::ImageDetail& detail : image.details)
    text +=
        std::visit([&](const auto& value) { return lines_of(detail.name, value); }, detail.value);
  return text;
}

void add_info(Options& image) {
  auto arguments = std::make_shared<InfoArguments>();
  Options command = image.command("info", "Tell what an image is");
  command.footer(
      "Nothing that the image names is opened, but for --backing-chain. Without -f, the format is\n"
      "what the header says; formats that cannot be read are named, too.");
  add_image_options(command, arguments->image);
  add_output_option(command, arguments->output);
  command.flag("--backing-chain", arguments->chain, "All images of the chain, top first");
  command.action([arguments] { return info(*arguments); });
}

}  // namespace vireo::cli
