#include "blockdev/open.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "blockdev/buffer.h"
#include "blockdev/filter/overlay.h"
#include "blockdev/format/qcow2.h"
#include "blockdev/protocol/file.h"
#include "blockdev/protocol/temporary.h"
#include "vmm/base/bytes.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr uint32_t kQcow2Magic = 0x514649fb;  // "QFI\xfb", the first four bytes

struct Ending {
  std::string_view text;
  std::string_view format;
};
constexpr std::array kEndings{Ending{".raw", "raw"}, Ending{".img", "raw"},
                              Ending{".qcow2", "qcow2"}};

// Empty: the name does not tell.
std::string format_by_name(const std::string& path) {
  for (const Ending& ending : kEndings)
    if (path.ends_with(ending.text)) return std::string(ending.format);
  return "";
}

Task<bool> starts_like_qcow2(Node& file, std::string path) {
  const uint32_t block = file.limits().block;
  const Buffer buffer{std::max<size_t>(block, sizeof(be32)), file.limits().buffer_alignment};
  if (!buffer) throw_errno(fmt::format("cannot read disk image '{}'", path), ENOMEM);
  IoVecs into = buffer.vectors(0, buffer.size());
  const std::error_code error = co_await file.read(0, std::move(into));
  if (error) throw std::system_error(error, fmt::format("cannot read disk image '{}'", path));
  co_return ByteReader(buffer.bytes()).get<be32>() == kQcow2Magic;
}

// A file that is called .img and starts like a qcow2 image is more often a mistake than a raw disk:
// published cloud images are named so. Only refuses; nothing is taken from the content.
Task<void> refuse_hidden_qcow2(Node& file, std::string path) {
  const bool hidden = co_await starts_like_qcow2(file, path);
  if (!hidden) co_return;
  throw ConfigError(
      fmt::format("disk image '{}' starts with a qcow2 header but is named like a raw image; "
                  "write format=qcow2, or format=raw if its content is meant to be one",
                  path));
}

Task<std::unique_ptr<Node>> open_raw(FileEngines& engines, Spec spec) {
  const FileOptions options{
      .cache = spec.cache, .aio = spec.aio, .read_only = spec.read_only, .lock = spec.lock};
  std::unique_ptr<Node> file = co_await open_file(engines, spec.path, options);
  if (file->limits().size == 0 && !spec.empty)
    throw ConfigError(fmt::format("disk image '{}' is empty; give it a size (truncate -s 10G '{}')",
                                  spec.path, spec.path));
  if (spec.format.empty()) co_await refuse_hidden_qcow2(*file, spec.path);
  const auto make = [&]() -> std::unique_ptr<Node> {
    return std::make_unique<RawNode>(std::move(file), spec.window);
  };
  co_return with_context(fmt::format("cannot use disk image '{}'", spec.path), make);
}

Task<std::unique_ptr<Node>> open_reference(FileEngines& engines, Spec spec,
                                           ImageReference reference);

// `chain`: the images that lead to this one.
Task<std::unique_ptr<Node>> open_image(FileEngines& engines, Spec spec,
                                       std::vector<std::string> chain) {
  const FileOptions file_options{
      .cache = spec.cache, .aio = spec.aio, .read_only = spec.read_only, .lock = spec.lock};
  std::unique_ptr<Node> file = co_await open_file(engines, spec.path, file_options);
  Qcow2Options options{.path = spec.path,
                       .read_only = spec.read_only,
                       .backing = spec.backing,
                       .no_backing = spec.no_backing,
                       .snapshot = spec.internal,
                       .for_repair = spec.for_repair,
                       .metadata_cache = spec.metadata_cache,
                       .chain = std::move(chain)};
  OpenReference opener = [&engines, spec](ImageReference reference) {
    return open_reference(engines, spec, std::move(reference));
  };
  const Host host = engines.host();
  std::unique_ptr<Qcow2> image =
      co_await open_qcow2(host, std::move(file), std::move(options), std::move(opener));
  co_return image;
}

// It may be empty, and grows.
Task<std::unique_ptr<Node>> open_data_file(FileEngines& engines, Spec spec) {
  const FileOptions options{
      .cache = spec.cache, .aio = spec.aio, .read_only = spec.read_only, .lock = spec.lock};
  std::unique_ptr<FileNode> file = co_await open_file(engines, spec.path, options);
  co_return file;
}

// What an image names is opened as the image itself was.
Task<std::unique_ptr<Node>> open_reference(FileEngines& engines, Spec spec,
                                           ImageReference reference) {
  spec.path = reference.path;
  spec.format = reference.format;
  spec.window = {};
  spec.read_only = reference.read_only;
  spec.for_repair = false;
  spec.internal = {};
  if (spec.format == "qcow2")
    return open_image(engines, std::move(spec), std::move(reference.chain));
  if (reference.is_data) return open_data_file(engines, std::move(spec));
  return open_raw(engines, std::move(spec));
}

[[noreturn]] void refuse_format(const Spec& spec, const std::string& format) {
  throw ConfigError(
      fmt::format("disk image '{}' has the format '{}', which this build does not know; "
                  "convert it to raw",
                  spec.path, format));
}

// The formats; a further one is one more line here.
Task<std::unique_ptr<Node>> open_format(FileEngines& engines, Spec spec) {
  const std::string format = format_of(spec);
  if (format == "raw") return open_raw(engines, std::move(spec));
  if (format == "qcow2") return open_image(engines, std::move(spec), {});
  refuse_format(spec, format);
}

uint64_t actual_size(const std::string& path) {
  struct ::stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_blocks) * 512 : 0;
}

}  // namespace

std::string format_of(const Spec& spec) {
  if (!spec.format.empty()) return spec.format;
  if (std::string format = format_by_name(spec.path); !format.empty()) return format;
  throw ConfigError(
      fmt::format("the format of disk image '{}' is not clear from its name and is never guessed; "
                  "write format=raw or format=qcow2",
                  spec.path));
}

CacheMode parse_cache_mode(const std::string& word) {
  if (word == "writeback") return CacheMode::writeback;
  if (word == "none") return CacheMode::none;
  if (word == "writethrough") return CacheMode::writethrough;
  if (word == "unsafe") return CacheMode::unsafe;
  throw ConfigError(fmt::format(
      "'{}' is not a cache mode; write cache=writeback, none, writethrough or unsafe", word));
}

AioMode parse_aio_mode(const std::string& word) {
  if (word == "native") return AioMode::native;
  if (word == "threads") return AioMode::threads;
  throw ConfigError(
      fmt::format("'{}' is no way to do disk I/O; write aio=native or aio=threads", word));
}

Task<std::unique_ptr<Disk>> open_disk(Host host, std::string name, Spec spec) {
  FileEngines engines{host};
  Spec image = spec;
  image.read_only = spec.read_only || spec.snapshot;
  std::unique_ptr<Node> graph = co_await open_format(engines, std::move(image));
  if (spec.snapshot && !spec.read_only) {
    std::unique_ptr<Node> upper = co_await make_temporary_file(engines, graph->limits().size);
    graph = std::make_unique<OverlayNode>(std::move(graph), std::move(upper));
  }
  if (spec.throttle.any())
    graph = std::make_unique<ThrottleNode>(host.loop, std::move(graph), spec.throttle);
  co_return std::make_unique<Disk>(std::move(name), std::move(graph));
}

Task<ImageDescription> describe_image(Host host, Spec spec) {
  FileEngines engines{host};
  const FileOptions options{
      .cache = spec.cache, .aio = spec.aio, .read_only = true, .lock = spec.lock};
  std::unique_ptr<Node> file = co_await open_file(engines, spec.path, options);
  ImageDescription image{.path = spec.path,
                         .format = spec.format,
                         .virtual_size = file->limits().size,
                         .actual_size = actual_size(spec.path)};
  if (image.format.empty()) {
    const bool is_qcow2 = co_await starts_like_qcow2(*file, spec.path);
    image.format = is_qcow2 ? "qcow2" : "raw";
  }
  if (image.format == "raw") co_return image;
  if (image.format != "qcow2") refuse_format(spec, image.format);
  image.qcow2 = co_await describe_qcow2(std::move(file), spec.path);
  image.virtual_size = image.qcow2->header.size;
  co_return image;
}

}  // namespace vireo::blk
