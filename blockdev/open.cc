#include "blockdev/open.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "blockdev/buffer.h"
#include "blockdev/filter/overlay.h"
#include "blockdev/format/qcow2/qcow2.h"
#include "blockdev/probe.h"
#include "blockdev/protocol/protocol.h"
#include "blockdev/protocol/temporary.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

OpenOptions open_options(const Spec& spec) {
  return {.cache = spec.cache, .aio = spec.aio, .read_only = spec.read_only, .lock = spec.lock};
}

Task<std::unique_ptr<Node>> open_format(FileEngines& engines, Spec spec);

const NestedLocation* nested_in(const Spec& spec) noexcept {
  return std::get_if<NestedLocation>(&spec.location.place);
}

// The image below another format, for which the same holds.
Spec lower_spec(const NestedLocation& nested, const Spec& spec) {
  Spec lower = *nested.image;
  lower.read_only = lower.read_only || spec.read_only;
  lower.references = spec.references;
  lower.empty = spec.empty;
  lower.lock = lower.lock && spec.lock;
  return lower;
}

// What a format lies on.
Task<std::unique_ptr<Node>> open_bytes(FileEngines& engines, Spec spec) {
  std::unique_ptr<Node> bytes;
  if (const NestedLocation* const nested = nested_in(spec)) {
    Spec lower = lower_spec(*nested, spec);
    bytes = co_await open_format(engines, std::move(lower));
  } else {
    const OpenOptions options = open_options(spec);
    bytes = co_await open_protocol(engines, spec.location, options);
  }
  const Faults& faults = spec.location.faults;
  if (faults.any())
    bytes = std::make_unique<FaultNode>(engines.host().loop, std::move(bytes), faults.rules,
                                        faults.limits);
  co_return bytes;
}

Task<std::string> format_of_content(Node& file, std::string path) {
  const uint32_t block = file.limits().block;
  const Buffer buffer{std::max<size_t>(block, kProbeBytes), file.limits().buffer_alignment};
  if (!buffer) throw_errno(fmt::format("cannot read disk image '{}'", path), ENOMEM);
  IoVecs into = buffer.vectors(0, buffer.size());
  const std::error_code error = co_await file.read(0, std::move(into));
  if (error) throw std::system_error(error, fmt::format("cannot read disk image '{}'", path));
  co_return probe_format(buffer.bytes());
}

// A file that is called .img and starts like a qcow2 image is more often a mistake than a raw disk:
// published cloud images are named so. Only refuses; nothing is taken from the content.
Task<void> refuse_hidden_qcow2(Node& file, std::string path) {
  const std::string found = co_await format_of_content(file, path);
  if (found != "qcow2") co_return;
  throw ConfigError(
      fmt::format("disk image '{}' starts with a qcow2 header but is named like a raw image; "
                  "write format=qcow2, or format=raw if its content is meant to be one",
                  path));
}

Task<std::unique_ptr<Node>> open_raw(std::unique_ptr<Node> file, Spec spec) {
  if (file->limits().size == 0 && !spec.empty)
    throw ConfigError(fmt::format(
        "disk image '{0}' is empty; give it a size (truncate -s 10G '{0}')", spec.name()));
  const std::string name = spec.name();
  if (spec.format.empty()) co_await refuse_hidden_qcow2(*file, name);
  const auto make = [&]() -> std::unique_ptr<Node> {
    return std::make_unique<RawNode>(std::move(file), spec.window);
  };
  co_return with_context(fmt::format("cannot use disk image '{}'", name), make);
}

Qcow2Options qcow2_options(const Spec& spec) {
  return {.path = spec.name(),
          .read_only = spec.read_only,
          .references = spec.references,
          .data_file = spec.data_file,
          .other_backing = spec.below != nullptr,
          .no_backing = spec.no_backing,
          .snapshot = spec.internal,
          .for_repair = spec.for_repair,
          .backing_format = spec.backing_format,
          .metadata_cache = spec.metadata_cache,
          .progress = spec.progress};
}

Task<std::unique_ptr<Node>> open_reference(FileEngines& engines, Spec spec,
                                           ImageReference reference);

Task<std::unique_ptr<Node>> open_image(FileEngines& engines, std::unique_ptr<Node> file, Spec spec,
                                       Qcow2Options options) {
  OpenReference opener = [&engines, spec](ImageReference reference) {
    if (spec.below != nullptr && !reference.is_data) return open_format(engines, *spec.below);
    return open_reference(engines, spec, std::move(reference));
  };
  const Host host = engines.host();
  std::unique_ptr<Qcow2> image =
      co_await open_qcow2(host, std::move(file), std::move(options), std::move(opener));
  co_return image;
}

Spec spec_of(Spec spec, const ImageReference& reference) {
  spec.location = reference.location;
  spec.format = reference.format;
  spec.window = {};
  spec.read_only = reference.read_only;
  spec.for_repair = false;
  spec.internal = {};
  spec.data_file = {};
  spec.backing_format = {};
  spec.below = {};
  return spec;
}

// What an image names is opened as the image itself was. A data file may be empty, and grows.
Task<std::unique_ptr<Node>> open_reference(FileEngines& engines, Spec spec,
                                           ImageReference reference) {
  spec = spec_of(std::move(spec), reference);
  std::unique_ptr<Node> file = co_await open_bytes(engines, spec);
  if (reference.is_data) co_return file;
  if (spec.format == "raw") co_return co_await open_raw(std::move(file), std::move(spec));
  Qcow2Options image = qcow2_options(spec);
  image.chain = std::move(reference.chain);
  co_return co_await open_image(engines, std::move(file), std::move(spec), std::move(image));
}

[[noreturn]] void refuse_format(const std::string& path, const std::string& format) {
  throw ConfigError(fmt::format(
      "disk image '{}' has the format '{}', which cannot be read; convert it to {} first", path,
      format, format_names()));
}

// Gives the format that `file` is opened as. Found by looking, it may contradict what the file is
// called; then the image may name nothing.
Task<bool> settle_format(Node& file, Spec& spec) {
  if (spec.format != kProbe) co_return false;
  const std::string name = spec.name();
  spec.format = co_await format_of_content(file, name);
  co_return spec.format != format_by_name(name);
}

// The formats; a further one is one more line here.
Task<std::unique_ptr<Node>> open_format(FileEngines& engines, Spec spec) {
  if (const std::string format = format_of(spec);
      format != kProbe && find_format(format) == nullptr)
    refuse_format(spec.name(), format);
  if (nested_in(spec) != nullptr && spec.format == "qcow2")
    spec.read_only = true;  // it cannot grow
  std::unique_ptr<Node> file = co_await open_bytes(engines, spec);
  const bool probed = co_await settle_format(*file, spec);
  const std::string format = format_of(spec);
  if (format == "raw") co_return co_await open_raw(std::move(file), std::move(spec));
  if (format != "qcow2") refuse_format(spec.name(), format);
  if (probed) spec.references = References::none;
  Qcow2Options image = qcow2_options(spec);
  image.probed = probed;
  co_return co_await open_image(engines, std::move(file), std::move(spec), std::move(image));
}

}  // namespace

std::string format_of(const Spec& spec) {
  if (!spec.format.empty()) return spec.format;
  if (std::string format = format_by_name(spec.name()); !format.empty()) return format;
  throw ConfigError(
      fmt::format("the format of disk image '{}' is not clear from its name and is never guessed; "
                  "write format=raw or format=qcow2",
                  spec.name()));
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

FormatNode& format_node(Disk& disk) noexcept {
  Node* node = &disk.graph();
  if (auto* const throttle = dynamic_cast<ThrottleNode*>(node)) node = &throttle->below();
  if (auto* const overlay = dynamic_cast<OverlayNode*>(node)) node = &overlay->base();
  return dynamic_cast<FormatNode&>(*node);
}

Debugger* debugger(Disk& disk) noexcept {
  return format_node(disk).file_debugger();
}

Task<ImageDescription> describe_image(Host host, Spec spec) {
  FileEngines engines{host};
  spec.read_only = true;
  if (spec.format.empty()) spec.format = kProbe;
  if (spec.format != kProbe && find_format(spec.format) == nullptr)
    refuse_format(spec.name(), spec.format);
  std::unique_ptr<Node> file = co_await open_bytes(engines, spec);
  const bool probed = co_await settle_format(*file, spec);
  const std::string name = spec.name();
  ImageDescription image{.path = name,
                         .format = spec.format,
                         .probed = probed,
                         .actual_size = allocated_size(spec.location)};
  if (const Format* const format = find_format(image.format))
    image.facts = co_await format->describe(std::move(file), name);
  co_return image;
}

Spec backing_spec(const Spec& spec, const ImageDescription& image) {
  Qcow2Options options = qcow2_options(spec);
  options.probed = image.probed;
  if (image.probed) options.references = References::none;
  return spec_of(spec,
                 backing_reference(options, image.facts.backing_file, image.facts.backing_format));
}

}  // namespace vireo::blk
