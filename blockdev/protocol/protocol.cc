#include "blockdev/protocol/protocol.h"

#include <sys/stat.h>

#include <fmt/core.h>

#include "blockdev/protocol/null.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

std::unique_ptr<Node> open_null(const Location& location, const NullLocation& null, bool create) {
  if (create)
    throw ConfigError(fmt::format(
        "'{}' is there without being created; write into it as an image that exists (-n)",
        location.name()));
  return std::make_unique<NullNode>(null.size);
}

}  // namespace

Task<std::unique_ptr<Node>> open_protocol(FileEngines& engines, Location location,
                                          OpenOptions options) {
  if (const auto* const null = std::get_if<NullLocation>(&location.place))
    co_return open_null(location, *null, options.create);
  FileLocation file = std::get<FileLocation>(std::move(location.place));
  co_return co_await open_file(engines, std::move(file), options);
}

uint64_t allocated_size(const Location& location) {
  constexpr uint64_t kStatBlock = 512;
  struct ::stat status {};
  if (::stat(location.name().c_str(), &status) != 0) return 0;
  return static_cast<uint64_t>(status.st_blocks) * kStatBlock;
}

}  // namespace vireo::blk
