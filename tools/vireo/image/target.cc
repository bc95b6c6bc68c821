#include "tools/vireo/image/target.h"

#include <unistd.h>

#include <tuple>
#include <utility>

#include "tools/vireo/image/dialect.h"

namespace vireo::cli {

namespace {

std::optional<struct ::stat> status_of(const std::string& path) {
  struct ::stat status {};
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return status;
}

bool changed(const struct ::stat& before, const struct ::stat& after) {
  const auto key = [](const struct ::stat& status) {
    return std::tuple(status.st_ino, status.st_size, status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
  };
  return key(before) != key(after);
}

}  // namespace

Target::Target(std::string path) : path_(std::move(path)), before_(status_of(path_)) {}

Target::~Target() {
  if (complete_) return;
  const auto after = status_of(path_);
  if (!before_)
    ::unlink(path_.c_str());
  else if (after && (S_ISBLK(after->st_mode) || changed(*before_, *after)))
    complain("'" + path_ + "' is not complete");
}

}  // namespace vireo::cli
