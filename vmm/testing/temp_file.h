// Files and directories that are gone when the test is. One thread each. Errors are thrown.
#pragma once

#include <fcntl.h>
#include <stdlib.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo::testing {

// An empty directory of its own; removed with all that is in it.
class TempDir {
 public:
  TempDir() : path_((std::filesystem::temp_directory_path() / "vireo-test-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) throw_errno("cannot make the directory " + path_);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const noexcept { return path_; }
  // The path of a file in it, which need not exist.
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

inline std::vector<std::byte> read_bytes(const std::string& path) {
  const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) throw_errno("cannot open " + path);
  std::vector<std::byte> content(std::filesystem::file_size(path));
  if (const auto error = read_all(fd.get(), content))
    throw std::system_error(error, "cannot read " + path);
  return content;
}

inline std::string read_text(const std::string& path) {
  const auto content = read_bytes(path);
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

// A file with given content.
class TempFile {
 public:
  explicit TempFile(std::span<const std::byte> content = {}) {
    const UniqueFd fd = open(O_RDWR | O_CREAT | O_EXCL);
    if (const auto error = write_all(fd.get(), content))
      throw std::system_error(error, "cannot write " + path_);
  }
  explicit TempFile(std::string_view text) : TempFile(bytes_of_text(text)) {}

  const std::string& path() const noexcept { return path_; }
  UniqueFd open(int flags = O_RDWR) const {
    UniqueFd fd{::open(path_.c_str(), flags | O_CLOEXEC, 0600)};
    if (!fd) throw_errno("cannot open " + path_);
    return fd;
  }
  std::vector<std::byte> read() const { return read_bytes(path_); }
  std::string read_text() const { return testing::read_text(path_); }

 private:
  TempDir dir_;
  std::string path_ = dir_.file("file");
};

}  // namespace vireo::testing
