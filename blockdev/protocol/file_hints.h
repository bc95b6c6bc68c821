// What the host's file system is told about the file of a new image, before anything lies in it.
#pragma once

#include <cstdint>

namespace vireo::blk {

struct FileHints {
  bool no_copy_on_write = false;  // btrfs: FS_NOCOW_FL
  uint64_t extent_size = 0;       // bytes that are set aside at a time; 0: as the file system does
  bool operator==(const FileHints&) const = default;
};

// A file system that knows nothing of them makes no error. Blocks.
void give_hints(int fd, const FileHints& hints) noexcept;

}  // namespace vireo::blk
