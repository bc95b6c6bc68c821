#include "blockdev/create.h"

#include <utility>

#include <fmt/core.h>

#include "blockdev/format/qcow2/qcow2.h"
#include "blockdev/protocol/protocol.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

Task<std::unique_ptr<Node>> make_bytes(Host host, Location location, FileHints hints) {
  FileEngines engines{host};
  const OpenOptions options{.create = true, .hints = hints};
  co_return co_await open_protocol(engines, std::move(location), options);
}

Task<std::unique_ptr<Node>> make_data_file(Host host, std::string path) {
  Location location = path;
  const FileHints none;
  std::unique_ptr<Node> file = co_await make_bytes(host, std::move(location), none);
  const std::error_code error = co_await file->resize(0);
  if (error && error != std::errc::not_supported)
    throw std::system_error(error, fmt::format("cannot create data file '{}'", path));
  co_return file;
}

Task<void> create(Host host, Location location, RawCreateOptions options,
                  ProgressFunction progress) {
  std::unique_ptr<Node> file = co_await make_bytes(host, std::move(location), options.hints);
  co_await create_raw(std::move(file), std::move(options), std::move(progress));
}

Task<void> create(Host host, Location location, Qcow2CreateOptions options,
                  ProgressFunction progress) {
  std::unique_ptr<Node> file = co_await make_bytes(host, std::move(location), options.hints);
  std::unique_ptr<Node> data;
  if (!options.data_file.empty()) {
    const std::string path = resolve_reference(options.path, options.data_file);
    data = co_await make_data_file(host, path);
  }
  co_await create_qcow2(host, std::move(file), std::move(data), std::move(options),
                        std::move(progress));
}

FilePlan plan(const RawCreateOptions& options) {
  return {.full = raw_file_size(options)};
}

FilePlan plan(const Qcow2CreateOptions& options) {
  return {.full = full_file_size(options),
          .unit = options.cluster_size,
          .bitmaps = options.version >= 3};
}

CreateOptions named(const Location& location, CreateOptions options) {
  std::visit([&location](auto& image) { image.path = location.name(); }, options);
  return options;
}

}  // namespace

void set_size(CreateOptions& options, uint64_t size) {
  std::visit([size](auto& image) { image.size = size; }, options);
}

void check_create(const Location& location, CreateOptions options) {
  std::visit([](const auto& image) { check_create_options(image); },
             named(location, std::move(options)));
}

FilePlan plan_file(const CreateOptions& options) {
  return std::visit([](const auto& image) { return plan(image); }, options);
}

Task<void> create_image(Host host, Location location, CreateOptions options,
                        ProgressFunction progress) {
  check_create(location, options);
  options = named(location, std::move(options));
  Task<void> task = std::visit(
      [&](auto image) {
        return create(host, std::move(location), std::move(image), std::move(progress));
      },
      std::move(options));
  co_await std::move(task);
}

Task<std::error_code> preallocate(Node& image, uint64_t start, Preallocation how,
                                  ProgressFunction progress) {
  if (how == Preallocation::off) return preallocate_raw(image, start, how, {});
  if (auto* const with = dynamic_cast<WithClusters*>(&image))
    return with->preallocate(start, how, std::move(progress));
  return preallocate_raw(image, start, how, std::move(progress));
}

}  // namespace vireo::blk
