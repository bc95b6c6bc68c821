#include <algorithm>
#include <filesystem>

#include <fmt/core.h>

#include "blockdev/format/qcow2/qcow2.h"
#include "vmm/base/printable.h"

namespace vireo::blk {

using namespace qcow2;

namespace {

[[noreturn]] void refuse(const Qcow2Options& options, const std::string& why) {
  throw ConfigError(fmt::format("cannot open qcow2 image '{}': {}", options.path, why));
}

std::string resolve(const Qcow2Options& options, const std::string& name) {
  if (names_protocol(name))
    refuse(options, fmt::format("it names '{}', which is no file; only files are supported",
                                printable(name)));
  return resolve_reference(options.path, name);
}

// `role`: how the image needs the file.
void check_references(const Qcow2Options& options, const std::string& role,
                      const std::string& name) {
  if (options.references != References::none) return;
  const char* const hint = options.probed
                               ? "the format was found by looking at the image, so name the "
                                 "format (qcow2)"
                               : "add backing=on";
  refuse(options, fmt::format("it {} '{}', which may not be opened for it; {} if you trust the "
                              "image",
                              role, printable(name), hint));
}

std::string same_file_key(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::path resolved = std::filesystem::weakly_canonical(path, ignored);
  return ignored ? path : resolved.string();
}

std::vector<std::string> extended_chain(const Qcow2Options& options) {
  std::vector<std::string> chain = options.chain;
  chain.push_back(options.path);
  return chain;
}

void check_chain(const Qcow2Options& options, const std::string& next) {
  const std::vector<std::string> chain = extended_chain(options);
  if (chain.size() > kMaxBackingDepth)
    refuse(options, fmt::format("its chain of backing files is deeper than {}", kMaxBackingDepth));
  const std::string key = same_file_key(next);
  for (size_t i = 0; i < chain.size(); ++i) {
    if (same_file_key(chain[i]) != key) continue;
    std::string loop;
    for (size_t j = i; j < chain.size(); ++j) loop += fmt::format("'{}' -> ", chain[j]);
    refuse(options, fmt::format("its backing files form a loop: {}'{}'", loop, printable(next)));
  }
}

struct FirstCluster {
  Buffer bytes;
  uint64_t length = 0;
};

Task<FirstCluster> read_start(Node& file, uint64_t length, std::string path) {
  const uint64_t there = align_down(std::min(length, file.limits().size), file.limits().block);
  FirstCluster start{Buffer(std::max<uint64_t>(there, 1)), there};
  if (there == 0) co_return start;
  IoVecs into{{start.bytes.data(), there}};
  const std::error_code error = co_await file.read(0, std::move(into));
  if (error) throw std::system_error(error, fmt::format("cannot read qcow2 image '{}'", path));
  co_return start;
}

// An error says who asked for the file.
Task<std::unique_ptr<Node>> open_named(const Qcow2Options& options, ImageReference reference,
                                       const OpenReference& open_reference) {
  const char* const role = reference.is_data ? "data" : "backing";
  check_chain(options, reference.location.name());
  try {
    co_return co_await open_reference(std::move(reference));
  } catch (...) {
    std::throw_with_nested(ConfigError(fmt::format("the {} file of '{}'", role, options.path)));
  }
}

// It is written to, so an image reaches nothing but its neighbours with it.
std::string named_data_file(const Qcow2Options& options, const Header& header) {
  const std::string name = header.data_file();
  if (name.empty()) refuse(options, "it keeps its data in another file and does not name it");
  check_references(options, "keeps its data in", name);
  std::string path = resolve(options, name);
  if (!lies_beside(options.path, path))
    refuse(options, fmt::format("it keeps its data in '{}', which does not lie beside it; name the "
                                "data file (--disk …,data-file=PATH; --image-opts "
                                "…,data-file.filename=PATH) if you trust the image",
                                printable(name)));
  return path;
}

Task<std::unique_ptr<Node>> open_data(const Qcow2Options& options, const Header& header,
                                      const OpenReference& open_reference) {
  ImageReference reference{.location = {},
                           .format = "raw",
                           .read_only = options.read_only,
                           .is_data = true,
                           .chain = extended_chain(options)};
  if (options.data_file)
    reference.location = *options.data_file;
  else
    reference.location = {named_data_file(options, header), Links::none};
  co_return co_await open_named(options, std::move(reference), open_reference);
}

}  // namespace

ImageReference backing_reference(const Qcow2Options& options, const std::string& name,
                                 const std::string& recorded_format) {
  check_references(options, "needs its backing file", name);
  const std::string format =
      options.backing_format.empty() ? recorded_format : options.backing_format;
  if (format != "raw" && format != "qcow2")
    refuse(options,
           format.empty()
               ? fmt::format("it names its backing file '{}' without a format; record one with "
                             "'vireo image rebase -u -F'",
                             printable(name))
               : fmt::format("its backing file '{}' has the format '{}', which is not supported",
                             printable(name), printable(format)));
  const std::string path = resolve(options, name);
  const bool beside = options.references == References::beside;
  if (beside && !lies_beside(options.path, path))
    refuse(options, fmt::format("its backing file '{}' does not lie in its own folder; add "
                                "backing=on if you trust the image",
                                printable(name)));
  return {.location = {path, beside ? Links::none : Links::ordinary},
          .format = format,
          .read_only = true,
          .chain = extended_chain(options)};
}

namespace {

void check_blocks(const Qcow2Options& options, const Node& file, const Geometry& geometry) {
  if (file.limits().block <= geometry.cluster_size() && file.limits().block <= 4096) return;
  refuse(options,
         fmt::format("its clusters of {} bytes are smaller than the blocks of {} bytes that "
                     "its file is opened with; open it without cache=none",
                     geometry.cluster_size(), file.limits().block));
}

// As many bytes as the header can take.
Task<FirstCluster> read_first_cluster(Node& file, std::string path) {
  FirstCluster start = co_await read_start(file, 4096, path);
  const uint64_t cluster =
      peek_cluster_size(std::as_const(start.bytes).bytes().first(start.length), path);
  if (cluster > start.length) start = co_await read_start(file, cluster, path);
  co_return start;
}

void throw_if(std::error_code error, const std::string& what, const std::string& path) {
  if (error) throw std::system_error(error, fmt::format("the {} of '{}' is unusable", what, path));
}

}  // namespace

Task<ImageFacts> describe_qcow2(std::unique_ptr<Node> file, std::string path) {
  FirstCluster start = co_await read_first_cluster(*file, path);
  const auto bytes = std::as_const(start.bytes).bytes().first(start.length);
  const uint64_t size = file->limits().size;
  const Header header = parse_header(bytes, size, path, Refcounts::may_be_lost);
  HostFile host_file(std::move(file));
  Outcome<ParsedSnapshots> snapshots = co_await read_snapshots(host_file, header);
  throw_if(snapshots.error, "snapshot table", path);
  Outcome<BitmapDirectory> directory = co_await read_bitmaps(host_file, header);
  throw_if(directory.error, "bitmap directory", path);
  co_return facts_of(header, snapshots.value.list, directory.value.bitmaps);
}

Task<std::unique_ptr<Qcow2>> open_qcow2(Host host, std::unique_ptr<Node> file, Qcow2Options options,
                                        OpenReference open_reference) {
  FirstCluster start = co_await read_first_cluster(*file, options.path);
  const auto bytes = std::as_const(start.bytes).bytes().first(start.length);
  const Refcounts refcounts =
      options.read_only || options.for_repair ? Refcounts::may_be_lost : Refcounts::needed;
  Header header = parse_header(bytes, file->limits().size, options.path, refcounts);
  if (header.encryption != 0)
    refuse(options, "it is encrypted, which is not supported; convert it to a plain image first");
  if (header.corrupt() && !options.read_only && !options.for_repair)
    refuse(options,
           "it is marked as damaged; repair it with 'vireo image check --repair all' or "
           "open it read-only");
  check_blocks(options, *file, header.geometry());
  std::unique_ptr<Node> data, backing;
  if (header.has_data_file()) data = co_await open_data(options, header, open_reference);
  if (options.other_backing) {
    ImageReference own;
    backing = co_await open_reference(std::move(own));
  } else if (!header.backing_file.empty() && !options.no_backing) {
    ImageReference reference =
        backing_reference(options, header.backing_file, header.backing_format());
    backing = co_await open_named(options, std::move(reference), open_reference);
  }
  auto image = std::make_unique<Image>(host, options.path, std::move(file), std::move(header),
                                       bytes, options.read_only);
  if (data) image->data = std::make_unique<HostFile>(std::move(data));
  image->other_backing = options.other_backing;
  auto node = std::make_unique<Qcow2>(std::move(image), std::move(backing), options.metadata_cache);
  co_await node->start(options.for_repair, std::move(options.progress));
  if (!options.snapshot.empty()) {
    const std::error_code error = co_await node->show_snapshot(options.snapshot);
    if (error == std::errc::no_such_file_or_directory)
      refuse(options, fmt::format("it has no snapshot '{}'", printable(options.snapshot)));
    throw_if(error, "snapshot", options.path);
  }
  co_return node;
}

}  // namespace vireo::blk
