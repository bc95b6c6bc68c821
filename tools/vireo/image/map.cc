#include "tools/vireo/image/map.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"
#include "vmm/base/json.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr uint64_t kSector = 512;

struct MapArguments {
  ImageArguments image;
  std::string output = "human";
  std::string start, length;
};

// One image of the chain, and the file that its data lies in.
struct Layer {
  blk::Node& node;
  std::string data_path;
};

struct Entry {
  uint64_t start = 0, length = 0;
  size_t depth = 0;
  bool present = false, zero = false, data = false;
  std::optional<uint64_t> offset;  // in the layer's data file
};

// The image that shows through what only changes how requests fare.
blk::Node* through_filters(blk::Node* node) {
  auto* const raw = dynamic_cast<blk::RawNode*>(node);
  auto* const fault = raw == nullptr ? nullptr : dynamic_cast<blk::FaultNode*>(raw->whole());
  const bool shows = fault != nullptr && dynamic_cast<blk::WithClusters*>(&fault->below());
  return shows ? &fault->below() : node;
}

// The images from the top down.
std::vector<Layer> layers_of(Image& image) {
  std::vector<Layer> layers;
  std::string path = image.path();
  for (blk::Node* node = through_filters(&image.disk().graph()); node != nullptr;) {
    layers.push_back({*node, path});
    auto* const with = dynamic_cast<blk::WithBacking*>(node);
    if (with == nullptr) break;
    const blk::ImageFacts facts = dynamic_cast<blk::FormatNode&>(*node).facts();
    if (!facts.data_file.empty())
      layers.back().data_path = blk::resolve_reference(path, facts.data_file);
    path = blk::resolve_reference(path, facts.backing_file);
    node = with->backing();
  }
  return layers;
}

// QEMU's disks have whole sectors: what a raw file lacks at its end reads as zeros.
uint64_t whole_sectors(uint64_t size) {
  return speaks_qemu() ? (size + kSector - 1) / kSector * kSector : size;
}

Task<Entry> plain_entry(blk::Node& node, uint64_t start, uint64_t length) {
  if (start >= node.limits().size)
    co_return Entry{
        .start = start, .length = length, .present = true, .zero = true, .offset = start};
  const blk::Extent extent = co_await node.extent(start, length);
  co_return Entry{.start = start,
                  .length = std::min(extent.length, length),
                  .present = true,
                  .zero = extent.zero,
                  .data = extent.data,
                  .offset = start};
}

Task<Entry> placed_entry(blk::WithClusters& image, uint64_t start, uint64_t length) {
  const auto placement = co_await image.placement(start, length);
  const auto& [error, run] = placement;
  if (error) throw std::system_error(error, "cannot read the mapping");
  co_return Entry{.start = start,
                  .length = run.length,
                  .present = run.allocated,
                  .zero = run.zero,
                  .data = run.data,
                  .offset = run.host};
}

// What the chain says of the run at `start`: the first image that has it, or where the search ends
// because there is nothing below, which reads as zeros.
Task<Entry> find_entry(const std::vector<Layer>& layers, uint64_t start, uint64_t length) {
  for (size_t depth = 0;; ++depth) {
    const Layer& layer = layers[depth];
    Entry entry;
    if (auto* const with = dynamic_cast<blk::WithClusters*>(&layer.node))
      entry = co_await placed_entry(*with, start, length);
    else
      entry = co_await plain_entry(layer.node, start, length);
    entry.depth = depth;
    if (entry.present) co_return entry;
    const uint64_t below =
        depth + 1 < layers.size() ? whole_sectors(layers[depth + 1].node.limits().size) : 0;
    if (start >= below) {
      entry.zero = true;
      co_return entry;
    }
    length = std::min(entry.length, below - start);
  }
}

bool continues(const Entry& entry, const Entry& next) {
  const auto what = [](const Entry& e) {
    return std::tuple(e.depth, e.present, e.zero, e.data, e.offset.has_value());
  };
  return what(entry) == what(next) &&
         (!entry.offset || *entry.offset + entry.length == *next.offset);
}

class Printer {
 public:
  Printer(const std::vector<Layer>& layers, bool json) : layers_(layers), json_(json) {
    std::printf("%s", json_ ? "[" : "Offset          Length          Mapped to       File\n");
  }
  void print(const Entry& entry) { json_ ? print_json(entry) : print_human(entry); }
  void finish() const {
    if (json_) std::printf("]\n");
  }

 private:
  void print_json(const Entry& entry) {
    Json json = Json::object();
    json.add("start", entry.start).add("length", entry.length).add("depth", entry.depth);
    json.add("present", entry.present).add("zero", entry.zero).add("data", entry.data);
    if (entry.offset) json.add("offset", *entry.offset);
    std::printf("%s%s", separator_, json.line().c_str());
    separator_ = ",\n";
  }
  void print_human(const Entry& entry) const {
    if (!entry.data || entry.zero) return;
    if (!entry.offset)
      throw ConfigError(
          "the image has compressed clusters, which --output json lists and this table cannot");
    std::printf("%#-16llx%#-16llx%#-16llx%s\n", static_cast<unsigned long long>(entry.start),
                static_cast<unsigned long long>(entry.length),
                static_cast<unsigned long long>(*entry.offset),
                printable(layers_[entry.depth].data_path).c_str());
  }

  const std::vector<Layer>& layers_;
  const bool json_;
  const char* separator_ = "";
};

void print_map(Session& session, const std::vector<Layer>& layers, uint64_t start, uint64_t end,
               bool json) {
  Printer printer(layers, json);
  Entry entry;
  for (uint64_t at = start; at < end;) {
    session.stop_if_interrupted();
    const Entry next = session.run(find_entry(layers, at, end - at));
    at += next.length;
    if (entry.length > 0 && continues(entry, next)) {
      entry.length += next.length;
      continue;
    }
    if (entry.length > 0) printer.print(entry);
    entry = next;
  }
  if (entry.length > 0) printer.print(entry);
  printer.finish();
}

int map(const MapArguments& arguments) {
  const uint64_t start =
      arguments.start.empty() ? 0 : parse_size("--start-offset", arguments.start);
  Session session;
  blk::Spec spec = image_spec(arguments.image);
  spec.read_only = true;
  Image image(session, spec);
  uint64_t end = whole_sectors(image.size());
  if (!arguments.length.empty()) {
    const uint64_t length = parse_size("--max-length", arguments.length);
    end = std::min(end, start + length);
  }
  print_map(session, layers_of(image), start, end, arguments.output == "json");
  return kOk;
}

}  // namespace

void add_map(Options& image) {
  auto arguments = std::make_shared<MapArguments>();
  Options command =
      image.command("map", "Tell where the parts of a disk lie in the files of its chain");
  command.footer(
      "The table lists data only; JSON lists everything: 'depth' is the image of the chain, 0 the\n"
      "top; 'present' says that some image has it, 'zero' that it reads as zeros, 'data' that it\n"
      "may be something else, and 'offset' where in the file it lies.");
  add_image_options(command, arguments->image);
  add_output_option(command, arguments->output);
  command.option("-s,--start-offset", "SIZE", arguments->start, "Begin here");
  command.option("-l,--max-length", "SIZE", arguments->length, "End after so many bytes");
  command.action([arguments] { return map(*arguments); });
}

}  // namespace vireo::cli
