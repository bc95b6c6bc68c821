#include "tools/vireo/image/info.h"

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

using blk::ImageDescription;
using blk::Qcow2Description;

// The disk in whole sectors, as a guest of QEMU sees it.
uint64_t virtual_size(const ImageDescription& image) {
  return (image.virtual_size + 511) / 512 * 512;
}

const char* compression_name(const blk::qcow2::Header& header) {
  return header.compression == blk::qcow2::Compression::zstd ? "zstd" : "zlib";
}

Json snapshots_json(const Qcow2Description& qcow2) {
  Json list = Json::array();
  for (const auto& snapshot : qcow2.snapshots) {
    Json entry = Json::object();
    if (const auto count = snapshot.instructions()) entry.add("icount", *count);
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

std::vector<const char*> flag_names(const blk::qcow2::BitmapInfo& bitmap) {
  std::vector<const char*> names;
  if (bitmap.in_use) names.push_back("in-use");
  if (bitmap.automatic) names.push_back("auto");
  return names;
}

Json bitmaps_json(const Qcow2Description& qcow2) {
  Json list = Json::array();
  for (const auto& bitmap : qcow2.bitmaps) {
    Json flags = Json::array();
    for (const char* name : flag_names(bitmap)) flags.add(name);
    list.add(Json::object()
                 .add("flags", std::move(flags))
                 .add("name", bitmap.name)
                 .add("granularity", bitmap.granularity));
  }
  return list;
}

// What version 2 cannot have is left out.
Json qcow2_json(const Qcow2Description& qcow2) {
  const blk::qcow2::Header& header = qcow2.header;
  Json data = Json::object();
  data.add("compat", header.version < 3 ? "0.10" : "1.1");
  data.add("compression-type", compression_name(header));
  if (header.version >= 3) data.add("lazy-refcounts", header.lazy_refcounts());
  if (!qcow2.bitmaps.empty()) data.add("bitmaps", bitmaps_json(qcow2));
  data.add("refcount-bits", header.geometry().refcount_bits());
  if (header.has_data_file())
    data.add("data-file", header.data_file()).add("data-file-raw", header.raw_data_file());
  if (header.version >= 3)
    data.add("corrupt", header.corrupt()).add("extended-l2", header.geometry().extended_l2);
  return Json::object().add("type", "qcow2").add("data", std::move(data));
}

Json to_json(const ImageDescription& image) {
  Json json = Json::object();
  const auto& qcow2 = image.qcow2;
  if (qcow2 && !qcow2->header.backing_format().empty())
    json.add("backing-filename-format", qcow2->header.backing_format());
  if (qcow2 && !qcow2->snapshots.empty()) json.add("snapshots", snapshots_json(*qcow2));
  json.add("virtual-size", virtual_size(image)).add("filename", image.path);
  if (qcow2) json.add("cluster-size", qcow2->header.geometry().cluster_size());
  json.add("format", image.format).add("actual-size", image.actual_size);
  if (!qcow2) return json.add("dirty-flag", false);
  if (qcow2->header.encryption != 0) json.add("encrypted", true);
  json.add("format-specific", qcow2_json(*qcow2));
  if (const std::string& name = qcow2->header.backing_file; !name.empty())
    json.add("full-backing-filename", blk::resolve_reference(image.path, name))
        .add("backing-filename", name);
  return json.add("dirty-flag", qcow2->header.dirty());
}

std::string bitmap_lines(const Qcow2Description& qcow2) {
  if (qcow2.bitmaps.empty()) return "";
  std::string text = "    bitmaps:\n";
  for (size_t i = 0; i < qcow2.bitmaps.size(); ++i) {
    const auto& bitmap = qcow2.bitmaps[i];
    text += fmt::format("        [{}]:\n            flags:\n", i);
    for (size_t j = 0; const char* name : flag_names(bitmap))
      text += fmt::format("                [{}]: {}\n", j++, name);
    text += fmt::format("            name: {}\n            granularity: {}\n",
                        printable(bitmap.name), bitmap.granularity);
  }
  return text;
}

void print_backing(const ImageDescription& image) {
  const blk::qcow2::Header& header = image.qcow2->header;
  if (header.backing_file.empty()) return;
  const std::string actual = blk::resolve_reference(image.path, header.backing_file);
  std::printf("backing file: %s", printable(header.backing_file).c_str());
  if (actual != header.backing_file) std::printf(" (actual path: %s)", printable(actual).c_str());
  std::printf("\n");
  if (const std::string format = header.backing_format(); !format.empty())
    std::printf("backing file format: %s\n", printable(format).c_str());
}

void print_human(const ImageDescription& image) {
  const uint64_t size = virtual_size(image);
  std::printf("image: %s\nfile format: %s\nvirtual size: %s (%llu bytes)\ndisk size: %s\n",
              printable(image.path).c_str(), image.format.c_str(), human_size(size).c_str(),
              static_cast<unsigned long long>(size), human_size(image.actual_size).c_str());
  if (!image.qcow2) return;
  if (image.qcow2->header.encryption != 0) std::printf("encrypted: yes\n");
  const uint64_t cluster = image.qcow2->header.geometry().cluster_size();
  if (image.qcow2->header.dirty()) std::printf("cleanly shut down: no\n");
  std::printf("cluster_size: %llu\n", static_cast<unsigned long long>(cluster));
  print_backing(image);
  if (!image.qcow2->snapshots.empty())
    std::printf("Snapshot list:\n%s", snapshot_table(image.qcow2->snapshots).c_str());
  std::fputs(qcow2_specifics(*image.qcow2).c_str(), stdout);
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

std::string qcow2_specifics(const Qcow2Description& qcow2) {
  const blk::qcow2::Header& header = qcow2.header;
  const bool v3 = header.version >= 3;
  std::string text =
      fmt::format("Format specific information:\n    compat: {}\n    compression type: {}\n",
                  v3 ? "1.1" : "0.10", compression_name(header));
  if (v3) text += fmt::format("    lazy refcounts: {}\n", header.lazy_refcounts());
  text += bitmap_lines(qcow2);
  text += fmt::format("    refcount bits: {}\n", header.geometry().refcount_bits());
  if (header.has_data_file())
    text += fmt::format("    data file: {}\n    data file raw: {}\n", printable(header.data_file()),
                        header.raw_data_file());
  if (v3)
    text += fmt::format("    corrupt: {}\n    extended l2: {}\n", header.corrupt(),
                        header.geometry().extended_l2);
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
