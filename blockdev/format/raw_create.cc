#include "blockdev/format/raw_create.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/core.h>

#include "blockdev/error.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr uint64_t kStep = 16 * 1024 * 1024;  // bytes between two looks up

struct Row {
  ImageKey key;
  void (*create)(RawCreateOptions&, const KeyText&);
};

constexpr std::array kRows{
    Row{{.name = "size",
         .values = "SIZE",
         .help = "size of the disk",
         .kind = ImageKey::Kind::size},
        [](RawCreateOptions& image, const KeyText& text) { image.size = text.size(); }},
    Row{{.name = "preallocation",
         .values = "off|falloc|full",
         .help = "off: sparse; falloc: space is set aside; full: zeros are written"},
        [](RawCreateOptions& image, const KeyText& text) {
          image.preallocation = text.preallocation();
        }},
    Row{kNoCopyOnWriteKey, [](RawCreateOptions& image,
                              const KeyText& text) { image.hints.no_copy_on_write = text.flag(); }},
    Row{kExtentSizeKey, [](RawCreateOptions& image,
                           const KeyText& text) { image.hints.extent_size = text.size(); }},
};

// A device has the size it has, which may be more.
Task<std::error_code> set_size(Node& file, uint64_t size) {
  std::error_code error = co_await file.resize(0);
  if (!error) error = co_await file.resize(size);
  if (error != std::errc::not_supported) co_return error;
  if (file.limits().size >= size) co_return std::error_code{};
  co_return std::make_error_code(std::errc::no_space_on_device);
}

}  // namespace

ImageKeys raw_keys() {
  return keys_of(kRows);
}

RawCreateOptions parse_raw_create(const KeyTexts& given) {
  return options_of(kRows, given, &Row::create);
}

void check_create_options(const RawCreateOptions& options) {
  if (options.preallocation == Preallocation::metadata)
    throw ConfigError(
        fmt::format("cannot create raw image '{}': a raw image has no metadata; preallocation is "
                    "off, falloc or full",
                    options.path));
}

uint64_t raw_file_size(const RawCreateOptions& options) noexcept {
  return (options.size + 511) / 512 * 512;
}

Task<void> create_raw(std::unique_ptr<Node> file, RawCreateOptions options,
                      ProgressFunction progress) {
  check_create_options(options);
  const uint64_t size = raw_file_size(options);
  std::error_code error = co_await set_size(*file, size);
  if (!error)
    error = co_await preallocate_raw(*file, 0, options.preallocation, std::move(progress));
  const std::error_code last = co_await file->close();
  if (!error) error = last;
  if (error)
    throw std::system_error(error, fmt::format("cannot create raw image '{}'", options.path));
}

Task<std::error_code> preallocate_raw(Node& image, uint64_t start, Preallocation how,
                                      ProgressFunction progress) {
  if (how == Preallocation::off) co_return std::error_code{};
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
