#include "blockdev/create.h"

#include <algorithm>

#include <fmt/core.h>

#include "blockdev/format/qcow2.h"
#include "blockdev/protocol/protocol.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr uint64_t kStep = 16 * 1024 * 1024;  // bytes between two looks up

void refuse_if(bool bad, const Qcow2CreateOptions& options, const std::string& why) {
  if (bad) throw ConfigError(fmt::format("cannot create raw image '{}': {}", options.path, why));
}

void check_raw_options(const Qcow2CreateOptions& options) {
  refuse_if(!options.backing_file.empty() || !options.backing_format.empty(), options,
            "a raw image cannot have a backing file");
  refuse_if(!options.data_file.empty(), options, "a raw image cannot have a data file");
  refuse_if(options.preallocation == Preallocation::metadata, options,
            "a raw image has no metadata; preallocation is off, falloc or full");
}

// A device has the size it has, which may be more.
Task<std::error_code> set_size(Node& file, uint64_t size) {
  std::error_code error = co_await file.resize(0);
  if (!error) error = co_await file.resize(size);
  if (error != std::errc::not_supported) co_return error;
  if (file.limits().size >= size) co_return std::error_code{};
  co_return std::make_error_code(std::errc::no_space_on_device);
}

Task<void> create_raw(std::unique_ptr<Node> file, Qcow2CreateOptions options,
                      ProgressFunction progress) {
  options.size = qcow2::align_up(options.size, 512);
  std::error_code error = co_await set_size(*file, options.size);
  if (!error) error = co_await preallocate(*file, 0, options.preallocation, std::move(progress));
  const std::error_code last = co_await file->close();
  if (!error) error = last;
  if (error)
    throw std::system_error(error, fmt::format("cannot create raw image '{}'", options.path));
}

Task<std::unique_ptr<Node>> make_file(Host host, std::string path) {
  FileEngines engines{host};
  const OpenOptions options{.create = true};
  Location location = std::move(path);
  co_return co_await open_protocol(engines, std::move(location), options);
}

Task<std::unique_ptr<Node>> make_data_file(Host host, std::string path) {
  std::unique_ptr<Node> file = co_await make_file(host, path);
  const std::error_code error = co_await file->resize(0);
  if (error && error != std::errc::not_supported)
    throw std::system_error(error, fmt::format("cannot create data file '{}'", path));
  co_return file;
}

}  // namespace

bool can_create(const std::string& format) noexcept {
  return format == "raw" || format == "qcow2";
}

void check_create(const std::string& format, const Qcow2CreateOptions& options) {
  if (!can_create(format))
    throw ConfigError(fmt::format("cannot create '{}': there is no format '{}'; write raw or qcow2",
                                  options.path, format));
  if (format == "raw")
    check_raw_options(options);
  else
    check_create_options(options);
}

Task<void> create_image(Host host, std::string format, Qcow2CreateOptions options,
                        ProgressFunction progress) {
  check_create(format, options);
  std::unique_ptr<Node> file = co_await make_file(host, options.path);
  if (format == "raw") {
    co_await create_raw(std::move(file), std::move(options), std::move(progress));
    co_return;
  }
  std::unique_ptr<Node> data;
  if (!options.data_file.empty()) {
    const std::string path = resolve_reference(options.path, options.data_file);
    data = co_await make_data_file(host, path);
  }
  co_await create_qcow2(host, std::move(file), std::move(data), std::move(options),
                        std::move(progress));
}

Task<std::error_code> preallocate(Node& image, uint64_t start, Preallocation how,
                                  ProgressFunction progress) {
  if (how == Preallocation::off) co_return std::error_code{};
  if (auto* const qcow2 = dynamic_cast<Qcow2*>(&image))
    co_return co_await qcow2->preallocate(start, how, std::move(progress));
  if (how == Preallocation::metadata) co_return Refusal::no_metadata;
  const uint64_t end = image.limits().size;
  for (uint64_t at = start; at < end;) {
    const uint64_t some = std::min(end - at, kStep);
    const ZeroFlags flags;
    std::error_code error;
    if (how == Preallocation::falloc)
      error = co_await image.zero(at, some, flags);
    else
      error = co_await image.Node::zero(at, some, flags);  // in fact writes
    if (error) co_return error;
    at += some;
    if (progress && !progress(at - start, end - start))
      co_return std::make_error_code(std::errc::operation_canceled);
  }
  co_return std::error_code{};
}

}  // namespace vireo::blk
