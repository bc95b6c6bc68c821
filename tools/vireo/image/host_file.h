// What the host's file system is told about the file of a new image, before anything lies in it.
#pragma once

#include <cstdint>
#include <string>

namespace vireo::cli {

struct HostFileOptions {
  bool no_copy_on_write = false;  // btrfs: FS_NOCOW_FL
  uint64_t extent_size = 0;       // bytes that are set aside at a time; 0: as the file system does

  bool any() const noexcept { return no_copy_on_write || extent_size > 0; }
};

// Makes the file, or opens the one that is there, and asks for what the options say. They are
// hints: a file system that knows nothing of them makes no error.
void prepare_host_file(const std::string& path, const HostFileOptions& options);

}  // namespace vireo::cli
