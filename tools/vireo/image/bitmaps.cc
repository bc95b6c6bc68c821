#include "tools/vireo/image/bitmaps.h"

#include <algorithm>

#include <fmt/format.h>

#include "tools/vireo/image/dialect.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

std::string reason(std::error_code error) {
  if (error == std::errc::file_exists) return "there is one of that name";
  if (error == std::errc::state_not_recoverable)
    return "it was in use when its image was last written, and its bits mean nothing; remove it "
           "with 'vireo image bitmap --remove'";
  if (error == std::errc::invalid_argument)
    return "names have 1 to 1023 bytes, granularities are powers of two from 512 bytes to 2 GiB, "
           "and merged bitmaps are of disks of one size";
  if (error == std::errc::file_too_large) return "it would be too large; use a larger granularity";
  if (error == std::errc::not_supported)
    return "bitmaps need a disk that is not empty and compat=1.1 (vireo image amend)";
  return {};
}

void copy_bitmap(Session& session, Image& source, Image& target, const blk::ImageBitmap& bitmap) {
  auto& to = target.need<blk::WithBitmaps>("bitmaps");
  auto& from = source.need<blk::WithBitmaps>("bitmaps");
  std::error_code error = session.run(to.add_bitmap(bitmap.name, bitmap.granularity));
  if (!error) error = session.run(to.merge_bitmap(bitmap.name, from, bitmap.name));
  if (!error && !bitmap.automatic) error = session.run(to.enable_bitmap(bitmap.name, false));
  check_bitmap_change(error, "copy", bitmap.name, target.path());
}

}  // namespace

uint64_t default_granularity(const blk::ImageFacts& image) {
  constexpr uint64_t kLeast = 4096, kMost = 65536;
  return std::clamp(image.cluster_size, kLeast, kMost);
}

void check_bitmap(const blk::WithBitmaps& image, const std::string& name, const std::string& path) {
  const auto bitmaps = image.bitmap_list();
  if (std::none_of(bitmaps.begin(), bitmaps.end(),
                   [&](const auto& bitmap) { return bitmap.name == name; }))
    throw ConfigError(fmt::format("'{}' has no bitmap '{}'", path, name));
}

void check_bitmap_change(std::error_code error, const std::string& action, const std::string& name,
                         const std::string& path) {
  if (!error) return;
  const std::string what = fmt::format("cannot {} bitmap '{}' of '{}'", action, name, path);
  const std::string why = reason(error);
  if (why.empty()) throw std::system_error(error, what);
  throw ConfigError(fmt::format("{}: {}", what, why));
}

void check_copied_bitmaps(Image& source, bool skip_broken) {
  for (const auto& bitmap : source.need<blk::WithBitmaps>("bitmaps").bitmap_list()) {
    if (bitmap.usable()) continue;
    const std::string what = fmt::format(
        "bitmap '{}' of '{}' cannot be copied: its bits mean nothing", bitmap.name, source.path());
    if (!skip_broken)
      throw ConfigError(what +
                        "; remove it with 'vireo image bitmap --remove', or add "
                        "--skip-broken-bitmaps");
    complain(what + "; it is left out");
  }
}

void copy_bitmaps(Session& session, Image& source, Image& target) {
  for (const auto& bitmap : source.need<blk::WithBitmaps>("bitmaps").bitmap_list())
    if (bitmap.usable()) copy_bitmap(session, source, target, bitmap);
}

}  // namespace vireo::cli
