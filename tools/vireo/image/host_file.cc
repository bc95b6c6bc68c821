#include "tools/vireo/image/host_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <limits>

#include "vmm/base/fd.h"

namespace vireo::cli {

namespace {

void forbid_copy_on_write(int fd) {
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_NOCOW_FL;
  (void)::ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

void hint_extent_size(int fd, uint64_t bytes) {
  struct ::fsxattr attributes {};
  if (::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return;
  attributes.fsx_xflags |= FS_XFLAG_EXTSIZE;
  attributes.fsx_extsize =
      static_cast<uint32_t>(std::min<uint64_t>(bytes, std::numeric_limits<uint32_t>::max()));
  (void)::ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
}

}  // namespace

void prepare_host_file(const std::string& path, const HostFileOptions& options) {
  if (!options.any()) return;
  const UniqueFd file(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644));
  if (!file) return;  // making the image says why
  if (options.no_copy_on_write) forbid_copy_on_write(file.get());
  if (options.extent_size > 0) hint_extent_size(file.get(), options.extent_size);
}

}  // namespace vireo::cli
