#include "blockdev/protocol/temporary.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

std::string temporary_directory() {
  const char* chosen = std::getenv("TMPDIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp";
}

// For file systems without O_TMPFILE.
UniqueFd open_and_unlink(const std::string& directory) {
  std::string path = directory + "/vireo-snapshot-XXXXXX";
  UniqueFd fd{::mkostemp(path.data(), O_CLOEXEC)};
  if (fd) ::unlink(path.c_str());
  return fd;
}

UniqueFd open_unnamed(const std::string& directory) {
  UniqueFd fd{::open(directory.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600)};
  if (!fd) fd = open_and_unlink(directory);
  if (!fd)
    throw_errno(
        fmt::format("cannot make a file for throw-away writes in '{}' (set TMPDIR)", directory));
  return fd;
}

}  // namespace

Task<std::unique_ptr<FileNode>> make_temporary_file(FileEngines& engines, uint64_t size) {
  const std::string directory = temporary_directory();
  OpenFile file{.fd = open_unnamed(directory), .limits = {.can_discard = true, .can_zero = true}};
  std::shared_ptr<IoEngine> engine = engines.engine(file.fd.get(), CacheMode::unsafe);
  auto node = std::make_unique<FileNode>(engines.host(), std::move(engine), std::move(file),
                                         CacheMode::unsafe);
  const std::error_code error = co_await node->resize(size);
  if (error)
    throw std::system_error(
        error, fmt::format("cannot use '{}' for throw-away writes (set TMPDIR)", directory));
  co_return node;
}

}  // namespace vireo::blk
