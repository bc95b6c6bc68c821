// The file that a job makes: gone again, or said to be incomplete, if the job does not get to its
// end.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>

namespace vireo::cli {

// Declared before the file is made or opened for writing.
class Target {
 public:
  explicit Target(std::string path);
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target();  // not complete: removes a file that was not there before; if one was, and was
              // changed, says so

  void complete() noexcept { complete_ = true; }

 private:
  std::string path_;
  std::optional<struct ::stat> before_;
  bool complete_ = false;
};

}  // namespace vireo::cli
