// Opening and probing; everything here blocks and runs on the worker pool.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <exception>
#include <optional>

#include <fmt/core.h>

#include "blockdev/buffer.h"
#include "blockdev/protocol/file.h"
#include "blockdev/protocol/image_lock.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr uint32_t kSmallestBlock = 512;
constexpr uint32_t kLargestBlock = 4096;

int open_flags(const OpenOptions& options) noexcept {
  int flags = O_CLOEXEC | O_NOCTTY;
  flags |= options.read_only ? O_RDONLY : O_RDWR;
  if (is_direct(options.cache)) flags |= O_DIRECT;
  if (options.cache == CacheMode::writethrough || options.cache == CacheMode::directsync)
    flags |= O_DSYNC;
  return flags;
}

[[noreturn]] void throw_open_error(const FileLocation& where, const OpenOptions& options,
                                   int error) {
  const std::string image = fmt::format("disk image '{}'", where.path);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      if (options.create)
        throw ConfigError(fmt::format("cannot create {}: its directory does not exist", image));
      throw ConfigError(image + " does not exist; check its path or create it first");
    case ELOOP:
      if (where.links != Links::all)
        throw ConfigError(image +
                          " is reached through a link that an image may not name; name "
                          "the file itself");
      throw ConfigError(image + " is reached through a loop of symbolic links");
    case EISDIR:
      throw ConfigError(image + " is a directory; give the file inside it");
    case EACCES:
    case EPERM:
      throw ConfigError(fmt::format("no permission to {} {}; change its mode or owner{}",
                                    options.read_only ? "read" : "read and write", image,
                                    options.read_only ? "" : ", or open it read-only"));
    case EROFS:
      throw ConfigError(image + " lies on a read-only file system; open it read-only");
    case ETXTBSY:
      throw ConfigError(image + " is a program being executed or in use as swap; use a copy");
    case EBUSY:
      throw ConfigError(image + " is in use by this host (mounted?); release it first");
    case EINVAL:
      if (is_direct(options.cache))
        throw ConfigError(image + " lies on a file system without O_DIRECT; use cache=writeback");
      [[fallthrough]];
    default:
      throw_errno("cannot open " + image, error);
  }
}

// -1 and errno.
int open_path(const std::string& path, int flags, Links links) noexcept {
  if (links == Links::all) return ::open(path.c_str(), flags, 0644);
  if (links == Links::none) flags |= O_NOFOLLOW;
  ::open_how how{};
  how.flags = static_cast<uint64_t>(flags);
  how.resolve = RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
}

UniqueFd open_or_throw(const FileLocation& where, const OpenOptions& options, int flags) {
  int fd = -1;
  do {
    fd = open_path(where.path, flags, where.links);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) throw_open_error(where, options, errno);
  return UniqueFd{fd};
}

struct ::stat stat_or_throw(int fd, const std::string& path) {
  struct ::stat status {};
  if (::fstat(fd, &status) != 0) throw_errno(fmt::format("cannot examine disk image '{}'", path));
  return status;
}

uint64_t device_size(int fd, const std::string& path) {
  uint64_t size = 0;
  if (::ioctl(fd, BLKGETSIZE64, &size) != 0)
    throw_errno(fmt::format("cannot find out the size of device '{}'", path));
  return size;
}

// What the kernel itself says (Linux 6.1 and later); 0 when it cannot tell.
uint32_t stated_direct_block(int fd) noexcept {
  struct ::statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0) return 0;
  if ((status.stx_mask & STATX_DIOALIGN) == 0) return 0;
  return std::max(status.stx_dio_offset_align, status.stx_dio_mem_align);
}

uint32_t device_block(int fd) noexcept {
  int size = 0;
  if (::ioctl(fd, BLKSSZGET, &size) != 0 || size <= 0) return kSmallestBlock;
  return static_cast<uint32_t>(size);
}

// The smallest block that a read of the file's beginning accepts. An empty file accepts anything.
uint32_t tried_block(int fd, uint64_t size) noexcept {
  const Buffer buffer{2 * kLargestBlock, 2 * kLargestBlock};
  if (!buffer || size == 0) return kLargestBlock;
  for (uint32_t block = kSmallestBlock; block < kLargestBlock; block *= 2)
    if (::pread(fd, buffer.data() + block, block, 0) >= 0) return block;
  return kLargestBlock;
}

uint32_t direct_block(int fd, bool is_device, uint64_t size) noexcept {
  uint32_t block = stated_direct_block(fd);
  if (block == 0) block = is_device ? device_block(fd) : tried_block(fd, size);
  return std::clamp(std::bit_ceil(block), kSmallestBlock, kLargestBlock);
}

// Only regular files and block devices: a FIFO or a terminal is no disk.
bool is_device_or_throw(const struct ::stat& status, const std::string& path) {
  if (S_ISDIR(status.st_mode)) throw_open_error({path}, {}, EISDIR);
  if (S_ISLNK(status.st_mode)) throw_open_error({path, Links::none}, {}, ELOOP);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
    throw ConfigError(fmt::format(
        "'{}' is neither a regular file nor a block device; it cannot be a disk", path));
  return S_ISBLK(status.st_mode);
}

// A few small ones do not count.
bool is_sparse(const struct ::stat& status) noexcept {
  constexpr uint64_t kStatBlock = 512;
  const auto size = static_cast<uint64_t>(status.st_size);
  const auto held = static_cast<uint64_t>(status.st_blocks) * kStatBlock;
  return S_ISREG(status.st_mode) && held < size - size / 10;
}

Limits limits_of(const OpenFile& file, const OpenOptions& options, const struct ::stat& status,
                 uint64_t size) noexcept {
  const bool direct = is_direct(options.cache);
  uint32_t block = 1;
  if (file.is_device) block = device_block(file.fd.get());  // its discards and zeroing need it
  if (direct) block = direct_block(file.fd.get(), file.is_device, size);
  const auto preferred = static_cast<uint64_t>(std::max<blksize_t>(status.st_blksize, 1));
  return Limits{
      .size = size,
      .block = block,
      .buffer_alignment = direct ? block : 1,
      .logical_block = file.is_device ? device_block(file.fd.get()) : kSmallestBlock,
      .optimal_block = static_cast<uint32_t>(
          std::clamp<uint64_t>(std::bit_floor(preferred), kLargestBlock, 1024 * 1024)),
      .read_only = options.read_only,
      .can_discard = !options.read_only,
      .can_zero = !options.read_only,
      .sparse = is_sparse(status),
  };
}

// O_EXCL without O_CREAT: a block device that the host itself has mounted is refused. O_NONBLOCK
// means nothing to a regular file, but keeps a FIFO that took its place from making us wait.
int special_flags(bool is_device, const OpenOptions& options) noexcept {
  if (is_device) return options.lock && !options.read_only ? O_EXCL : 0;
  return options.create ? O_NONBLOCK | O_CREAT : O_NONBLOCK;
}

// The kernel's own file systems call regular what is none: /proc/kcore, /proc/1/mem.
void refuse_kernel_file(int fd, const std::string& path) {
  struct ::statfs system {};
  if (::fstatfs(fd, &system) != 0) throw_errno(fmt::format("cannot examine disk image '{}'", path));
  if (system.f_type != PROC_SUPER_MAGIC && system.f_type != SYSFS_MAGIC) return;
  throw ConfigError(fmt::format("'{}' is a file of the kernel; an image may not name it", path));
}

// Without opening it; nothing when it is not there and may be made.
std::optional<bool> look_for_device(const FileLocation& where, const OpenOptions& options) {
  const int fd = open_path(where.path, O_PATH | O_CLOEXEC, where.links);
  if (fd < 0 && errno == ENOENT && options.create) return std::nullopt;
  if (fd < 0) throw_open_error(where, options, errno);
  const UniqueFd there{fd};
  if (where.links != Links::all) refuse_kernel_file(fd, where.path);
  return is_device_or_throw(stat_or_throw(fd, where.path), where.path);
}

// The path is examined before it is opened, because opening a device node can have effects (a tape
// rewinds), and again afterwards, because it may have been exchanged meanwhile.
OpenFile open_now(const FileLocation& where, const OpenOptions& options) {
  const bool is_device = look_for_device(where, options).value_or(false);
  const int flags = open_flags(options) | special_flags(is_device, options);
  OpenFile file{.fd = open_or_throw(where, options, flags), .limits = {}};
  const struct ::stat status = stat_or_throw(file.fd.get(), where.path);
  file.is_device = is_device_or_throw(status, where.path);
  if (options.lock) lock_image(file.fd.get(), where.path, !options.read_only);
  if (options.create) give_hints(file.fd.get(), options.hints);
  const uint64_t size = file.is_device ? device_size(file.fd.get(), where.path)
                                       : static_cast<uint64_t>(status.st_size);
  file.limits = limits_of(file, options, status, size);
  return file;
}

struct Opened {
  std::optional<OpenFile> file;
  std::exception_ptr error;
};

Opened open_catching(const FileLocation& where, const OpenOptions& options) noexcept {
  Opened opened;
  try {
    opened.file.emplace(open_now(where, options));
  } catch (...) {
    opened.error = std::current_exception();
  }
  return opened;
}

}  // namespace

Task<std::unique_ptr<FileNode>> open_file(FileEngines& engines, FileLocation file,
                                          OpenOptions options) {
  Host host = engines.host();
  const auto work = [&file, &options] { return open_catching(file, options); };
  Opened opened = co_await offload(host.pool, host.loop, work);
  if (opened.error) std::rethrow_exception(opened.error);
  std::shared_ptr<IoEngine> engine =
      engines.engine(opened.file->fd.get(), options.cache, options.aio);
  co_return std::make_unique<FileNode>(std::move(host), std::move(engine), std::move(*opened.file),
                                       options.cache);
}

}  // namespace vireo::blk
