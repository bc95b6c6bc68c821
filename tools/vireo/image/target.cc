#include "tools/vireo/image/target.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace vireo::cli {

namespace {

bool exists(const std::string& path) {
  struct ::stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

}  // namespace

Target::Target(std::string path) : path_(std::move(path)), existed_(exists(path_)) {}

Target::~Target() {
  if (complete_) return;
  if (existed_)
    std::fprintf(stderr, "vireo: '%s' is not complete\n", path_.c_str());
  else
    ::unlink(path_.c_str());
}

}  // namespace vireo::cli
