#include "blockdev/protocol/file_hints.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <limits>

namespace vireo::blk {

namespace {

void forbid_copy_on_write(int fd) noexcept {
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_NOCOW_FL;
  (void)::ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

void hint_extent_size(int fd, uint64_t bytes) noexcept {
  struct ::fsxattr attributes {};
  if (::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return;
  attributes.fsx_xflags |= FS_XFLAG_EXTSIZE;
  attributes.fsx_extsize =
      static_cast<uint32_t>(std::min<uint64_t>(bytes, std::numeric_limits<uint32_t>::max()));
  (void)::ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
}

}  // namespace

void give_hints(int fd, const FileHints& hints) noexcept {
  if (hints.no_copy_on_write) forbid_copy_on_write(fd);
  if (hints.extent_size > 0) hint_extent_size(fd, hints.extent_size);
}

}  // namespace vireo::blk
